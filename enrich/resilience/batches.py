"""Batches: what is asked while somebody asks is asked together, next.

A statement costs its round trip, whatever it asks for. With nobody else, a question is asked alone and at once. Under
load the questions that come while one is being asked gather, and the first of them asks for all. So there is nothing to
wait for, and no thread beside those who ask.
"""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

Question = TypeVar("Question")
Answer = TypeVar("Answer")


class Batches(Generic[Question, Answer]):
    """Asks one question, or several together. Safe to share between greenlets and threads.

    ask_one: returns the answer to one question. ask_many: returns the answers to several, in order; if it fails, each
    question is asked alone, so that nobody gets an error of somebody else's. at_most: questions asked together.
    """

    def __init__(
        self,
        ask_one: Callable[[Question], Answer],
        ask_many: Callable[[Sequence[Question]], Sequence[Answer]],
        at_most: int,
    ) -> None:
        self._ask_one = ask_one
        self._ask_many = ask_many
        self._at_most = at_most
        self._waiting: deque[_Waiting[Question, Answer]] = deque()
        self._is_asking = False
        self._lock = threading.Lock()  # held for a few instructions each time

    def ask(self, question: Question) -> Answer:
        """Return the answer. Raises what `ask_one` raises."""
        mine: _Waiting[Question, Answer] = _Waiting(question)
        with self._lock:
            if self._is_asking:
                self._waiting.append(mine)
            else:
                self._is_asking, mine.batch = True, [mine]
        if not mine.batch:
            self._await(mine)
        if mine.batch:
            self._ask_for(mine.batch)
        return mine.answer[0] if mine.answer else self._ask_one(question)

    def _await(self, mine: _Waiting[Question, Answer]) -> None:
        """Return once the question was asked by somebody else, or is to be asked now, with others."""
        try:
            mine.turn.get()
        except BaseException:  # such as OutOfTime
            with self._lock:
                if mine in self._waiting:
                    self._waiting.remove(mine)
                self._waiting.extendleft(reversed(mine.batch[1:]))
            if mine.batch:  # it was to ask, and nobody would
                self._let_the_next_ask()
            raise

    def _ask_for(self, batch: Sequence[_Waiting[Question, Answer]]) -> None:
        """Ask for these, the caller's the first. If several fail together, they are left without an answer."""
        try:
            if len(batch) == 1:
                batch[0].answer = (self._ask_one(batch[0].question),)
                return
            with suppress(Exception):  # each of them asks alone then, and gets the error that is its own
                answers = self._ask_many([one.question for one in batch])
                for one, answer in zip(batch, answers, strict=True):
                    one.answer = (answer,)
        finally:
            for other in batch[1:]:
                other.turn.put(None)
            self._let_the_next_ask()

    def _let_the_next_ask(self) -> None:
        with self._lock:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._at_most))]
            self._is_asking = bool(batch)
            if batch:
                batch[0].batch = batch
                batch[0].turn.put(None)


class _Waiting(Generic[Question, Answer]):
    """A question that waits. answer: of one element, once there is one. batch: those to ask for, this one first."""

    __slots__ = ("answer", "batch", "question", "turn")

    def __init__(self, question: Question) -> None:
        self.question = question
        self.answer: tuple[Answer] | tuple[()] = ()
        self.batch: Sequence[_Waiting[Question, Answer]] = ()
        self.turn: queue.SimpleQueue[None] = queue.SimpleQueue()
