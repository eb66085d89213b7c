"""MLA decode: where in global memory the rows and keys of a task lie."""

from __future__ import annotations

import math
from functools import cache

from ascend_sim import kernel as asc
from ascend_sim.kernel import GlobalTensor
from attention.mla import Parameters
from attention.mla_work import Task


class Windows:
    """The windows of tasks for one core: a cube core works on all rows, each of its vector cores on an equal part.

    Most come again and again: the slots of the workspaces, the queries of all tasks of a span.
    """

    def __init__(self, core: asc.Core, gm: asc.GlobalMemory, p: Parameters) -> None:
        self.gm, self.p, self.sub = gm, p, core.sub
        self.first_slot, self.sharing = core.index * p.slots, 1 if core.is_cube else core.subs
        self.window, self.slot = cache(self._window), cache(self._slot)

    def q(self, task: Task) -> tuple[GlobalTensor, GlobalTensor]:
        first, rows = task.span.first, task.span.rows
        return self.window("q", first, rows), self.window("q_rope", first, rows)

    def tokens(self, task: Task, *names: str) -> list[GlobalTensor]:
        """The tokens of *task* in the tensors of the cache called *names*, page by page."""
        problem, request = self.p.problem, task.span.request
        if problem.paged is None:
            first = self.p.first_tokens[request] + task.begin
            return [self.window(name, first, task.keys) for name in names]
        size, table = problem.paged.tokens, problem.block_table[request]
        begins = range(task.begin, task.behind, size)
        pages = [(table[begin // size] * size, min(size, task.behind - begin)) for begin in begins]
        return [self.window(name, first, tokens) for name in names for first, tokens in pages]

    def s(self, task: Task) -> GlobalTensor:
        return self.slot("s", task.turn.slot, task.span.rows, task.keys)

    def probabilities(self, task: Task) -> GlobalTensor:
        return self.slot("p", task.turn.slot, task.span.rows, task.keys)

    def t(self, task: Task) -> GlobalTensor:
        return self.slot("t", task.turn.slot, task.span.rows, self.p.problem.latent_dim)

    def o(self, task: Task) -> GlobalTensor:
        """Where the products of the span of *task* are added up: in a slot, or with the other parts of its rows."""
        if task.span.part is None:
            return self.slot("o", task.turn.row_slot, task.span.rows, self.p.problem.latent_dim)
        begin = task.span.part * self.p.tiling.task_rows
        rows = self.rows(task)
        return self.window("o_parts", begin + rows.start, rows.stop - rows.start)

    def out(self, task: Task) -> GlobalTensor:
        rows = self.rows(task)
        return self.window("out", task.span.first + rows.start, rows.stop - rows.start)

    def rows(self, task: Task) -> slice:
        """Which rows of its span this core works on."""
        return self.share(task.span.rows)

    def share(self, rows: int) -> slice:
        each = math.ceil(rows / self.sharing)
        return slice(self.sub * each, min((self.sub + 1) * each, rows))

    def visible(self, task: Task) -> tuple[tuple[int, int], ...]:
        """Of this core's rows: how many, one after another, see how many keys of *task*."""
        rows, problem = self.rows(task), self.p.problem
        length = problem.lengths[task.span.request]
        if not problem.causal or task.behind <= length - problem.query_tokens + 1:
            return ((rows.stop - rows.start, task.keys),)
        groups: list[tuple[int, int]] = []
        first = task.span.first - task.span.request * problem.rows
        row, behind = first + rows.start, first + rows.stop
        while row < behind:
            token = row // problem.heads
            count = min((token + 1) * problem.heads, behind) - row
            seen = length - problem.query_tokens + 1 + token
            groups.append((count, min(max(seen - task.begin, 0), task.keys)))
            row += count
        return tuple(groups)

    def _window(self, name: str, first: int, rows: int) -> GlobalTensor:
        tensor: GlobalTensor = getattr(self.gm, name)
        return tensor[first : first + rows, :]

    def _slot(self, name: str, number: int, rows: int, columns: int) -> GlobalTensor:
        tensor: GlobalTensor = getattr(self.gm, name)
        begin, share = (self.first_slot + number) * self.p.tiling.task_rows, self.share(rows)
        return tensor[begin + share.start : begin + share.stop, :columns]
