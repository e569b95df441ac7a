"""What the library says of the disk below it is told from what the server says."""

import pytest

from worker.openiap.official.files import of_this_machine


@pytest.mark.parametrize(
    ("text", "ours"),
    [
        ("Failed to move file: No space left on device (os error 28)", True),
        ("Failed to open file: Too many open files (os error 24)", True),
        ("Failed to create file: Read-only file system (os error 30)", True),
        ("Failed to move file: No such file or directory (os error 2)", False),
        ("File not found", False),
        ("No space left on device", False),
    ],
)
def test_a_disk_that_refuses_is_told_from_a_server_that_does(text: str, ours: bool) -> None:
    assert of_this_machine(text) is ours
