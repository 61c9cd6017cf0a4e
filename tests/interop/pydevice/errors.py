# SPDX-License-Identifier: Apache-2.0
"""What a device refuses, by the codes of docs/protocol.md."""


class Refused(Exception):
    """A DIM (or a join) that is refused; `code` is the document's."""

    def __init__(self, code, message):
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
