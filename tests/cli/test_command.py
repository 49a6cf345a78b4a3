from kft.cli.command import show
from kft.cli.show import table


def test_what_is_piped_keeps_a_long_path_on_one_line(capsys):
    path = f"photos/{'deeper/' * 30}cat.jpg"
    shown = table("file", "prediction")
    shown.add_row(path, "cat")

    show(shown)

    assert any(path in line and "cat" in line for line in capsys.readouterr().out.splitlines())
