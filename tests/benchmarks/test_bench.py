"""The benchmark runs, at a size that says nothing about speed."""

from pathlib import Path

import pytest
from tests.benchmarks.__main__ import main


def test_each_program_does_the_job_and_is_told_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["--requests", "20", "--line-bytes", "300", "--answer-bytes", "50"]
    main([*sizes, "--rounds", "1", "--report", str(tmp_path / "report.md")])
    told = capsys.readouterr().out
    assert (tmp_path / "report.md").read_text(encoding="utf-8") == told
    for program in (
        "batchtrail run",
        "floor",
        "plain floor",
        "floor that keeps",
        "SDK script",
        "apply the results",
        "`seal`",
        "`rebuild`",
    ):
        assert f"| {program} | " in told
