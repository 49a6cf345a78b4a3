from typing import ClassVar

from tiny import Bytes

from kft.sources.folders.folder import Folder
from kft.sources.tables.table import Table

NOTE = (
    "3 of 12 examples (.old 3) are converted as kft reads them; the exported model, such as on a "
    "server, takes only .bin, .raw"
)


class Converted(Bytes):
    converted_endings: ClassVar = (".old",)


def write(root, endings):
    names = [f"{label}/{n}{end}" for label in "ab" for n, end in enumerate(endings[label])]
    for name in names:
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(b"abcd")
    return names


ENDINGS = {"a": [".bin"] * 4 + [".old", ".OLD"], "b": [".raw"] * 5 + [".old"]}


def test_files_that_are_converted_are_examples_and_are_noted(tmp_path):
    names = write(tmp_path, ENDINGS)
    (tmp_path / "table.csv").write_text(
        "path,class\n" + "".join(f"{name},{name[0]}\n" for name in names)
    )
    sources = (
        Folder(path=str(tmp_path), input=Converted()),
        Table(path=str(tmp_path / "table.csv"), class_column="class", input=Converted()),
    )

    for source in sources:
        splits = source.load(0)

        found = {name for split in splits.by_name().values() for name in split.names}
        assert found == {*names}
        assert NOTE in splits.notes


def test_nothing_is_noted_where_nothing_is_converted(tmp_path):
    write(tmp_path, {"a": [".bin"] * 6, "b": [".raw"] * 6})

    assert Folder(path=str(tmp_path), input=Converted()).load(0).notes == ()
