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
    CANCEL = "cancel"
    DOWNLOAD = "download"
    DELETE = "delete"


@frozen
class Call:
    """A call as it arrived, whatever became of it.

    `subject` is its main argument: the file name of an upload, the input file id of a create,
    the batch or file id of the others, and for a page of the list the batch it goes on after.
    """

    operation: Operation
    subject: str | None
