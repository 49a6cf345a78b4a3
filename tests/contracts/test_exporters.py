"""What every exporter promises. A new kind joins by one line in EXPORTERS."""

from dataclasses import replace
from functools import cache

import pytest
from documented import documented
from exported import DATA, task_of

from kft.cache.decode import read
from kft.errors import ExportError
from kft.exporter import PARTIAL, Exporter
from kft.exporters.saved_model import SavedModelExporter
from kft.scoring.evaluate import evaluate
from kft.settings.catalog import CATALOG

# An exporter, and those of DATA whose models it can write: "vectors" at least.
EXPORTERS = {
    "saved_model": (SavedModelExporter(), DATA),
    "example_exporter:KerasFile": (documented("example_exporter").KerasFile(), ["vectors"]),
}
EACH = pytest.mark.parametrize("exporter", [each for each, _ in EXPORTERS.values()], ids=EXPORTERS)


@pytest.fixture(scope="module")
def made():
    """Makes a task once, and gives it with what it answers to its test split."""

    @cache
    def make(name):
        task, found = task_of(name)
        found = replace(found, train=found.train.take(range(6)), test=found.test.take(range(9)))
        reading = read(found, "stop")
        return task, evaluate(task, reading.raw.test, reading.decoded.test, "test")

    return make


def files_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_every_kind_of_exporter_is_in_the_battery():
    assert {*CATALOG["exporter"]} - {exporter.kind for exporter, _ in EXPORTERS.values()} == set()


@EACH
def test_settings_survive_the_way_through_json(exporter):
    again = Exporter.model_validate(exporter.model_dump(mode="json", by_alias=True))

    assert again == exporter


@pytest.mark.parametrize(
    ("exporter", "data"),
    [
        pytest.param(exporter, data, id=f"{name}-{data}")
        for name, (exporter, written) in EXPORTERS.items()
        for data in written
    ],
)
def test_a_clean_process_gets_the_answers_of_the_run(exporter, data, made, tmp_path):
    task, answers = made(data)

    path, difference = exporter.export(task, answers, tmp_path)

    assert path == tmp_path / exporter.output
    assert difference <= exporter.tolerance(task)
    assert [left.name for left in tmp_path.iterdir()] == [exporter.output]


@EACH
def test_what_answers_otherwise_than_the_run_is_an_error_and_is_not_left(exporter, made, tmp_path):
    task, answers = made("vectors")
    wrong = replace(answers, outputs=answers.outputs + 100 * exporter.tolerance(task))

    with pytest.raises(ExportError, match="differ from the run's own by up to"):
        exporter.export(task, wrong, tmp_path)

    assert not list(tmp_path.iterdir())


@EACH
def test_what_is_there_is_replaced_if_so_told_and_what_a_killed_export_left_anyway(
    exporter, made, tmp_path
):
    task, answers = made("vectors")
    fresh, folder = tmp_path / "fresh", tmp_path / "folder"
    fresh.mkdir()
    exporter.write(task, fresh / exporter.output)
    old, partial = folder / exporter.output, folder / PARTIAL.format(output=exporter.output)
    for place in (old, partial / exporter.output):
        place.mkdir(parents=True)
        (place / "mine").touch()

    with pytest.raises(ExportError, match="already exists.*--to"):
        exporter.export(task, answers, folder)
    assert (old / "mine").exists()
    path, _ = exporter.export(task, answers, folder, replace=True)

    assert path == old
    assert files_in(folder) == files_in(fresh)


@EACH
def test_a_model_that_cannot_be_loaded_is_an_error(exporter, made, tmp_path):
    task, answers = made("vectors")
    path = tmp_path / exporter.output
    exporter.write(task, path)
    for file in [path, *path.rglob("*")]:
        if file.is_file():
            file.write_bytes(b"")

    with pytest.raises(ExportError, match="a clean process cannot load and call it"):
        exporter.verify(path, task, answers)
