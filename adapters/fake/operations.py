"""The calls of the port, as faults and the record of calls name them."""

from enum import StrEnum

from attrs import frozen


class Operation(StrEnum):
    """One kind of provider call."""

    UPLOAD = "upload"
    CREATE = "create"
    RETRIEVE = "retrieve"
    LIST = "list"
    """One page of the list."""
    LIST_FILES = "list_files"
    """One page of the list of files."""
    CANCEL = "cancel"
    DOWNLOAD = "download"
    DELETE = "delete"
    COMPLETE = "complete"
    """One request at a synchronous endpoint such as `/v1/responses`."""


@frozen
class Call:
    """A call as it arrived, whatever became of it.

    `subject` is its main argument: the file name of an upload, the input file id of a create,
    the batch or file id of the others, for a page of a list what it goes on after, and the
    endpoint of a synchronous request.
    """

    operation: Operation
    subject: str | None
