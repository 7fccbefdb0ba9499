import json

import pytest

from dasksor.study.record import META, RECORDS, Record, Study, line_of


def record(repeat=0, **more):
    key = f"dense:10|dasksor|async|0|direct|2|#{repeat}"
    return Record(key, "dense:10", "dasksor", "async", workers=2, repeat=repeat, **more)


def test_a_study_is_read_as_it_was_written(tmp_path):
    study = Study({"name": "seed"}, [record(0, seconds=0.5), record(1, history=[[0.1, 3, 0.5]])])
    study.save(tmp_path)
    again = Study.load(tmp_path)
    assert again.meta == study.meta
    assert [line_of(r) for r in again.records] == [line_of(r) for r in study.records]


def test_names_of_later_versions_are_left_out():
    assert Record.of({**record().to_dict(), "later": 1}).key == record().key


def test_a_line_cut_off_at_the_end_is_left_out(tmp_path):
    Study({}, [record(0), record(1)]).save(tmp_path)
    path = tmp_path / RECORDS
    path.write_text(path.read_text()[:-20])
    assert [r.repeat for r in Study.load(tmp_path).records] == [0]


def test_a_damaged_line_is_named(tmp_path):
    Study({}, [record(0)]).save(tmp_path)
    with (tmp_path / RECORDS).open("a") as file:
        file.write("{}\n")
    with pytest.raises(ValueError, match="line 2 is no record"):
        Study.load(tmp_path)


def test_a_folder_without_a_study(tmp_path):
    with pytest.raises(FileNotFoundError, match=META):
        Study.load(tmp_path)
    (tmp_path / META).write_text(json.dumps({"name": "none yet"}))
    assert Study.load(tmp_path).records == []
