"""Reading for delivery: one thread with a connection of its own, which answers what has gathered in one query.

What twenty connections ask for at the same time costs one turn of the thread, as in the writer. A reading is a single
statement, never a transaction that lasts.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import zstandard

from relay.db import Database
from relay.errors import DatabaseAway, DatabaseBusy, DatabaseError, NotFound, RelayError
from relay.queue.content import INLINE, Piece, unpack
from relay.queue.statements import Statements, on
from relay.queue.tables import PLACES

T = TypeVar("T")

MAX_GATHERED = 128
"""Contents read with one statement."""

_PIECES = """
SELECT c.id FROM messages AS m JOIN content AS c ON c.id >= m.content_id * ? AND c.id < (m.content_id + 1) * ?
WHERE m.id = ? ORDER BY c.id
"""

Work = Callable[[Statements], Any]
_Wish = tuple[int | Work, "asyncio.Future[Any]"]
"""A message whose content is wanted, or any reading; and who waits for it."""
_Answer = tuple["asyncio.Future[Any]", Any]
"""Who waits, and the result or the exception that came instead."""


@dataclass(frozen=True, slots=True)
class _Packed:
    """A message's content as it lies on disk."""

    pieces: list[Piece]

    @property
    def small(self) -> bool:
        """Whether the loop unpacks it. That lets go of the interpreter's lock, and a thread has to wait for it again
        after each; a thread is for what would hold the loop up."""
        return sum(len(data) for _, data in self.pieces) <= INLINE

    def unpacked(self) -> bytes:
        return b"".join([unpack(packed, data) for packed, data in self.pieces])


class Reader:
    """Started and closed on the event loop."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._wishes: queue.SimpleQueue[_Wish | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop
        self._thread: threading.Thread | None = None
        self._statements: Statements | None = None

    async def start(self) -> None:
        """Raises DatabaseError."""
        self._loop = asyncio.get_running_loop()
        self._statements = await asyncio.to_thread(self._open)
        self._thread = threading.Thread(target=self._serve, name="reader", daemon=True)
        self._thread.start()

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            self._wishes.put(None)
            await asyncio.to_thread(thread.join)

    def content(self, message_id: int) -> asyncio.Future[bytes]:
        """Has NotFound for its exception where the message is gone. Raises DatabaseError once it is closed."""
        return self._ask(message_id)

    async def read(self, work: Callable[[Statements], T]) -> T:
        """The result of ``work``, which should be quick."""
        result: T = await self._ask(work)
        return result

    def _ask(self, wish: int | Work) -> asyncio.Future[Any]:
        if self._thread is None:
            raise DatabaseError("the queue is closed")
        future: asyncio.Future[Any] = self._loop.create_future()
        self._wishes.put((wish, future))
        return future

    def _open(self) -> Statements:
        connection = self._db.raw()
        if self._db.dialect == "sqlite":
            connection.execute("PRAGMA query_only=ON")
        else:
            connection.execute("SET jit = off")  # it would take longer to compile than anything here to run
        return on(self._db.dialect, connection)

    # --- in the thread ---

    def _serve(self) -> None:
        while (wish := self._wishes.get()) is not None:
            wishes = [wish]
            while len(wishes) < MAX_GATHERED and not self._wishes.empty():
                more = self._wishes.get()
                if more is None:
                    self._wishes.put(None)
                    break
                wishes.append(more)
            answers = self._answer(wishes)
            try:
                self._loop.call_soon_threadsafe(_hand_out, answers)
            except RuntimeError:
                break  # the loop is closed
        self._hang_up()

    def _answer(self, wishes: list[_Wish]) -> list[_Answer]:
        """Once more on a new connection where the server has ended the old one: it may have done so long ago."""
        for again in (True, False):
            try:
                self._statements = self._statements or self._open()
            except DatabaseError as error:
                return [(future, error) for _, future in wishes]
            answers = [(future, self._plain(answer)) for future, answer in _answers(self._statements, wishes)]
            if not any(isinstance(answer, DatabaseAway) for _, answer in answers):
                break
            self._hang_up()
            if not again:
                break
        return answers

    def _plain(self, answer: Any) -> Any:
        """That the database can't be read now is no fault of what was to be read."""
        if isinstance(answer, Exception) and not isinstance(answer, RelayError):
            words = self._db.words(answer)
            return words if isinstance(words, DatabaseAway | DatabaseBusy) else answer
        return answer

    def _hang_up(self) -> None:
        statements, self._statements = self._statements, None
        if statements is not None:
            statements.close()


def _answers(statements: Statements, wishes: list[_Wish]) -> list[_Answer]:
    """For each wish its result, or the exception that came instead."""
    wanted = {wish for wish, _ in wishes if isinstance(wish, int)}
    contents = _contents_or_errors(statements, wanted)
    answers = []
    for wish, future in wishes:
        if isinstance(wish, int):
            answers.append((future, contents[wish] if wish in contents else _gone(wish)))
            continue
        try:
            answers.append((future, wish(statements)))
        except Exception as error:
            answers.append((future, error))
    return answers


def _contents_or_errors(statements: Statements, wanted: set[int]) -> dict[int, Any]:
    """Contents that are there; where reading fails each is read alone, so that a damaged one harms no other."""
    try:
        return dict(_contents(statements, wanted)) if wanted else {}
    except Exception as error:
        if len(wanted) == 1:
            return dict.fromkeys(wanted, error)
        return {number: found for one in wanted for number, found in _contents_or_errors(statements, {one}).items()}


def _contents(statements: Statements, wanted: set[int]) -> dict[int, bytes | _Packed]:
    found: dict[int, list[Piece]] = {}
    for message_id, packed, data in statements.contents(wanted):
        found.setdefault(message_id, []).append((packed, data))
    contents = {message_id: _Packed(pieces) for message_id, pieces in found.items()}
    return {number: content if content.small else content.unpacked() for number, content in contents.items()}


def piece_ids(message_id: int, statements: Statements) -> list[int]:
    """The ids of all pieces of a message's content, in order. Raises NotFound where it is gone."""
    rows = statements.execute(_PIECES, (PLACES, PLACES, message_id)).fetchall()
    if not rows:
        raise _gone(message_id)
    return [piece_id for (piece_id,) in rows]


def read_piece(message_id: int, piece_id: int, statements: Statements) -> bytes:
    """One of them. Raises NotFound where the message has gone meanwhile."""
    row = statements.execute("SELECT packed, data FROM content WHERE id = ?", (piece_id,)).fetchone()
    if row is None:
        raise _gone(message_id)
    return unpack(*row)


def _gone(message_id: int) -> NotFound:
    return NotFound(f"message {message_id} is no longer in the queue")


def _hand_out(answers: list[_Answer]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
            continue
        try:
            future.set_result(answer.unpacked() if isinstance(answer, _Packed) else answer)
        except zstandard.ZstdError as error:
            future.set_exception(error)
