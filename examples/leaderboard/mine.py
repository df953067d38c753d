"""A selection method in ten lines: points are drawn with probabilities proportional to their uncertainty k(x, x)."""

# recipe
from dataclasses import dataclass

from bmdal import register
from bmdal.selection import Selection


@register
@dataclass(frozen=True)
class Draw(Selection):
    tokens, modes = ("draw",), ()

    def select(self, problem, batch_size):
        weights = problem.pool.diag().double().to(problem.generator.device) + 1e-30  # in case all are 0
        return weights.multinomial(batch_size, generator=problem.generator).to(problem.pool.device)
