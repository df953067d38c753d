"""Generate pages of the site from the code: one for each component, the gallery of recipes, the public names.

`docs/conf.py` calls `write` before each build. `ABOUT` adds what the code does not contain: cost and advice.
"""

from __future__ import annotations

import csv
import inspect
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

import bmdal
from bmdal.component import _REGISTRY, Component
from bmdal.errors import IncompatibleError
from bmdal.kernels import BaseKernel, Traits
from bmdal.selection import Selection
from bmdal.transformations import Transformation
from examples.custom_network import N_POOL, N_TRAIN, density, draw_points, target

Map = Callable[[Tensor], Tensor]
ROOT = Path(__file__).resolve().parent.parent
KINDS = {"selection": Selection, "kernel": BaseKernel, "transformation": Transformation}
TITLES = {"selection": "Selection methods", "kernel": "Base kernels", "transformation": "Transformations"}


@dataclass(frozen=True)
class About:
    """What a page says in addition to what the code contains: a component's cost, and when to use it."""

    cost: str
    advice: str


# n: pool points, m: training points, t: target points, p: features, b: batch size; Phi is the pool's n x p matrix.
ABOUT: dict[str, dict[str, About]] = {
    "selection": {
        "random": About(
            "O(n). No features are computed.",
            "Use it as the baseline that every other method has to beat. With a random forest on `fried`, none of the "
            "methods we measured does.",
        ),
        "maxdiag": About(
            "O(n p) for the diagonal and one sort of n numbers.",
            "Use it to select a single point, where it is plain uncertainty sampling. In larger batches the points "
            "are too similar: all its published variants are worse than random selection.",
        ),
        "maxdet": About(
            "At most O(n b (p + b)) time and memory for n b numbers; if the batch has more points than features, at "
            "most O(n b p^2) time. Posterior variances only decrease, so most steps only update a few points.",
            "Use it if the kernel is a model of the data, such as that of a Gaussian process; it is then exact "
            "sequential uncertainty sampling. It ignores how many other points a point represents.",
        ),
        "bait-f": About(
            "O((n + m) p^2) at first, or O((n + t) p^2) with targets; then O(n p + p^2) for each of the b points; on a "
            "CPU with AVX-512, most of it with 8-bit integers.",
            "Use it if you know the points that matter (`x_target`), and for forests and other models with members, "
            "for which `bait-f-p_pred` is the default. Use a sketch of moderate width, because the cost grows with "
            "its square.",
        ),
        "bait-fb": About(
            "The cost of `bait-f` for 2 b points, then O(b^3) for the removals.",
            "Use it to reproduce BAIT as published. It costs twice as much as `bait-f`, and its mean log RMSE in the "
            "published benchmark is no lower.",
        ),
        "fw": About(
            "One pass over Phi for each of the b points, O(n p b); with AVX-512, over 8-bit integers instead.",
            "Use it with an ACS kernel, as in `fw-p_grad_rp-512_acs-rf-hyper-512`. It approximates the pool's mean "
            "embedding and only knows about the labelled points through the kernel.",
        ),
        "maxdist": About(
            "At most one pass over Phi for each of the b points, O(n p b), after O(n m p) in mode TP. On a CPU, for "
            "n >= 4096 and 120 <= p <= 1024, a bound from 41 numbers per point avoids most of this work.",
            "Use it to cover the whole pool, including its edges: with `grad` it is among the ten published methods "
            "with the lowest maximum error. It selects outliers first and ignores the density of the pool.",
        ),
        "kmeanspp": About(
            "The cost of `maxdist`, plus O(n) for each draw.",
            "Use it for a diverse batch that depends on the seed, for example to select several different batches. In "
            "the published benchmark it is close behind `lcmd` and `bait-f`.",
        ),
        "lcmd": About(
            "The cost of `maxdist`, plus O(n) for the clusters in each step.",
            "Use it as the first choice for networks, as `lcmd-tp_grad_rp-512`: among the published methods with a "
            "sketch and without an ensemble, none has a lower mean log RMSE. For forests, prefer `bait-f-p_pred`.",
        ),
        "epig": About(
            "O(n t p) for the covariances with the targets, then O(n (t + p + b)) for each of the b points, or "
            "O(n (t + p) + p^2) if b > p. Memory: n (t + b) numbers, or n t.",
            "Use it if you know the points that matter (`x_target`); otherwise, 256 random pool points take their "
            "place. It is not part of the published benchmark.",
        ),
        "maxherding": About(
            "O(n s p) for the gains of all n points, s being the size of the sample. Gains only fall, so after that a "
            "CPU only looks at the few points that may be the best; a GPU looks at all of them b times. "
            "Memory for O(n) numbers: kappa is computed again when it is needed.",
            "Use it for a first batch from embeddings, if every dense region should have a point and outliers should "
            "not count. Only the directions of the features matter, not their lengths. It is not part of the "
            "published benchmark.",
        ),
        "uherding": About(
            "The cost of `maxherding`.",
            "Use it with `train` or `acs-...`, so that regions of which the model is uncertain count more. Without "
            "these, points count by the length of their features. It is not part of the published benchmark.",
        ),
        "power": About(
            "O(n p) for the diagonal, and one sort of n numbers.",
            "Use it in place of `maxdiag`, with `train` or with `pred`: it costs the same, and the points of its "
            "batches are not all alike. It is not part of the published benchmark.",
        ),
        "rpcholesky": About(
            "One pass over Phi for each of the b points, O(n b (p + b)), and memory for n b numbers; O(n b p) and no "
            "such memory if b > p.",
            "Use it in place of `maxdet` if outliers must not decide, or for several different batches. It is not part "
            "of the published benchmark.",
        ),
        "igs": About(
            "One pass over Phi for each of the b points, O(n p b), after O(n m p) for the labelled points; and a "
            "prediction for each point.",
            "Use it where the target changes quickly in a few places and the model already sees where. It needs the "
            "labels, in units of the predictions, and a single output. It is not part of the published benchmark.",
        ),
    },
    "kernel": {
        "linear": About(
            "No pass through the network; p is the number of inputs.",
            "Use it for embeddings that are already good features. On a network's raw inputs it ignores what the "
            "network has learned, and in the published benchmark it is far behind `grad`.",
        ),
        "nngp": About(
            "No pass through the network. A kernel matrix of n x n' points costs O(n n' (d + layers)) for d inputs; "
            "there is no feature matrix.",
            "Use it if the selection must not depend on the trained weights. In the published benchmark it is about "
            "as good as `linear`, far behind `grad`.",
        ),
        "ll": About(
            "One forward pass. p is the number of the last layer's parameters: its width + 1 for a single output.",
            "Use it if you can only afford one forward pass, or if the gradients of all layers are too expensive, as "
            "for large graphs or transformers. Otherwise use `grad`, which is better in the published benchmark.",
        ),
        "grad": About(
            "A forward pass, and a backward pass for each output. For linear layers, the features of a point take as "
            "many numbers as the sum of the layers' input and output widths, and a kernel value costs as many "
            "operations. For other layers it is the number of parameters, until a sketch is applied.",
            "Use it as the first choice for networks, followed by a sketch: `grad_rp-512`.",
        ),
        "pred": About(
            "One prediction from each of K members; p is K times the number of outputs.",
            "Use it for models that have members instead of gradients: forests, bagged boosting, MC dropout, lists of "
            "models, a matrix of predictions.",
        ),
    },
    "transformation": {
        "scale": About(
            "O(m p), the diagonal of the training points.",
            "Use it before a selection method that compares the kernel with the noise: `maxdet`, `bait-f`, `bait-fb` "
            "or `epig`. It does not affect methods that only compare distances with each other.",
        ),
        "train": About(
            "With a feature matrix, O(m p^2 + p^3) once and O(n p^2) for the pool, or O(m^2 p + m^3) and O(n m p) if "
            "2 m < p. Without one, O(m^3 + n m^2) time and memory for n m numbers.",
            "Use it for `maxdiag` and for selection methods in mode P, so that they take the labelled points into "
            "account.",
        ),
        "rp": About(
            "O(n p P) for plain features; for gradients of linear layers, O(n P) times the sum of the layers' widths.",
            "Use it after `grad` or any other kernel with too many features. In the published benchmark, 512 features "
            "are enough: `lcmd-tp_grad` is hardly better than `lcmd-tp_grad_rp-512`.",
        ),
        "ens": About(
            "N times the cost of everything before it. Without a sketch the features are concatenated to N p features.",
            "Use it if you train several networks anyway. The published gain over a single network is small compared "
            "with N times the training cost.",
        ),
        "acs-rf": About(
            "O(m p^2 + p^3) once, then O(n p (p + P)); in float64.",
            "Use it with `kmeanspp-p` and `fw-p`, so that they take the labelled points into account. The best "
            "published method with it is about as good as `kmeanspp-tp_grad_rp-512`, which does not need it.",
        ),
        "acs-rf-paper": About(
            "The cost of `acs-rf`.",
            "Use it to follow the paper's text exactly. The published numbers were computed with `acs-rf`.",
        ),
        "acs-rf-hyper": About(
            "The cost of `acs-rf`, plus O(m p) for the labels.",
            "Use it in ACS-FW, `fw-p_ll_acs-rf-hyper-512`, or in the best published variant of `fw`, which works on "
            "`grad_rp-512`. You do not need to know the noise, but you must pass the labels.",
        ),
        "acs-grad": About(
            "The cost of `train`; a kernel value costs two inner products. There is no feature matrix, because it "
            "would have p^2 columns.",
            "Use it as an ACS kernel without random features. If the selection method needs a feature matrix, add a "
            "sketch: `acs-grad_rp-512`.",
        ),
    },
}
# Methods whose picture does not use the default, which is mode TP if there is one and no transformation.
PICTURES = {"maxdiag": "maxdiag_train", "power": "power_train", "uherding": "uherding-p_train"}
PUBLIC = (
    "bmdal",
    "bmdal.features",
    "bmdal.kernels",
    "bmdal.transformations",
    "bmdal.selection",
    "bmdal.members",
    "bmdal.regressor",
    "bmdal.suggestion",
)
# Modules without `__all__`: what they define.
DEFINED = {
    "bmdal.testing": ("check_kernel", "check_transformation", "check_selection"),
    "bmdal.adapters.skactiveml": ("BatchQueryStrategy",),
}


def write(folder: Path) -> None:
    """Replace the contents of a folder by all generated pages and pictures."""
    shutil.rmtree(folder, ignore_errors=True)
    for kind in KINDS:
        pages = folder / kind
        pages.mkdir(parents=True, exist_ok=True)
        for slug, component in components(kind).items():
            (pages / f"{slug}.rst").write_text(component_page(kind, slug, component))
        (folder / f"{kind}.rst").write_text(kind_page(kind))
    x_train, x_pool, features = _plane()
    for slug, component in components("selection").items():
        choice(slug, component, x_train, x_pool, features).savefig(folder / "selection" / f"{slug}.png", dpi=120)
    (folder / "api.rst").write_text(api_page())


def write_recipes(folder: Path) -> None:
    """Write the scripts of `examples/recipes` in sphinx-gallery's format, with the headings of `docs/recipes.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "GALLERY_HEADER.rst").write_text(title("Recipes as scripts") + RECIPES)
    text = (ROOT / "docs" / "recipes.md").read_text()
    for script in sorted((ROOT / "examples" / "recipes").glob("*.py")):
        heading = re.search(rf"^## (.*)\n\n\[{script.name}\]", text, flags=re.MULTILINE)
        assert heading is not None, f"docs/recipes.md has no section that begins with a link to {script.name}"
        code = script.read_text().replace('"""', f'"""\n{title(heading[1])}\n', 1)
        (folder / script.name).write_text(code.replace("\n# recipe\n", "\n# %%\n# The recipe:\n\n"))


RECIPES = """
Complete scripts, to be run in a checkout. For what each of them does, see :doc:`/recipes`.
"""


def components(kind: str) -> dict[str, type[Component]]:
    """The library's own components of a kind by short name, in the order of `ABOUT`."""
    own = [c for c in _REGISTRY if issubclass(c, KINDS[kind]) and c.__module__.startswith("bmdal.")]
    found = {short_name(c): c for c in own}
    return {slug: found[slug] for slug in [*ABOUT[kind], *(found.keys() - ABOUT[kind].keys())]}


def short_name(component: type[Component]) -> str:
    """The name without its parameters: "rp" of "rp-{n_features}"."""
    return re.sub(r"-?\{\w+\}", "", component.tokens[-1])


def component_page(kind: str, slug: str, component: type[Component]) -> str:
    """The page of a component as reStructuredText."""
    about = ABOUT[kind][slug]
    parts = [title(slug), *as_rst(inspect.getdoc(component) or ""), ""]
    parts += [f"In Python: :py:class:`bmdal.{component.__module__.split('.')[1]}.{component.__name__}`.", ""]
    if kind == "selection":
        parts += [
            f".. image:: {slug}.png",
            f"   :alt: The 30 of {N_POOL:,} points that {slug} picks in two dimensions",
            "   :width: 450px",
            "",
        ]
        caption = (
            f"`{_asked(slug, component)}` picks 30 of {N_POOL:,} points in two dimensions (grey: their density). "
            f"{N_TRAIN} points are labelled (crosses). The kernel is Gaussian, approximated by 512 random features."
        )
        parts += [*as_rst(caption), ""]
    parts += [title("When to use it", "-"), *as_rst(about.advice), ""]
    parts += [title("Cost", "-"), *as_rst(about.cost), "", LETTERS, ""]
    parts += [title("Properties", "-"), ".. list-table::", "   :stub-columns: 1", ""]
    for name, value in properties(component):
        parts += [f"   * - {as_rst(name)[0]}", f"     - {as_rst(value)[0]}"]
    parts += ["", title("In the published benchmark", "-"), *as_rst(published(kind, slug)), ""]
    return "\n".join(parts)


LETTERS = (
    "n: number of pool points, m: training points, t: target points, p: features, b: batch size, Phi: feature matrix "
    "of the pool. The cost of the network itself is not included."
)


def properties(component: type[Component]) -> Iterator[tuple[str, str]]:
    """The class attributes, as rows of a table."""
    if issubclass(component, Selection):
        name = component.tokens[0]
        yield "name", ", ".join(f"`{name}-{mode.lower()}`" for mode in component.modes) or f"`{name}`"
        needs = "a feature matrix" if component.needs_explicit else "any kernel"
        yield "needs", needs if component.needs_kernel else "only the number of points"
        yield (
            "labels and predictions",
            "needed, only in `select_batch`" if component.needs_predictions else "not needed",
        )
        yield "target points", "yes, `x_target` or `target`" if component.takes_target else "no"
        yield "`exclude`, `groups`", _yes(component.takes_limits)
        yield "`costs`", "yes, gain per cost" if component.takes_costs else "no"
        yield "precision", "float64" if component.needs_float64 else "that of the features"
        return
    yield "name", ", ".join(f"`{re.sub(r'{n_(features|models)}', 'N', token)}`" for token in component.tokens)
    if issubclass(component, BaseKernel):
        yield "feature matrix", _yes(component.traits.explicit)
        yield "can be sketched (`rp-N`)", _yes(component.traits.sketchable)
        yield "default noise `sigma`", f"{component.sigma:g}"
    if issubclass(component, Transformation):
        with_matrix, without = _after(component, True), _after(component, False)
        yield "kernels without a feature matrix", "refused" if without is None else "accepted"
        assert with_matrix is not None
        result = "a feature matrix" if with_matrix.explicit else "no feature matrix"
        if without is not None and without.explicit != with_matrix.explicit:
            result = "a feature matrix if there was one before"
        yield "result", result
        yield "training points", "needed" if component.needs_train else "not needed"
        yield "training labels", "needed" if component.needs_labels else "not needed"


def _after(component: type[Transformation], explicit: bool) -> Traits | None:
    try:
        return component().traits(Traits(explicit=explicit, sketchable=True))
    except IncompatibleError:
        return None


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def published(kind: str, slug: str) -> str:
    """The rank of the best published method that uses a component."""
    with (ROOT / "results" / "published" / "relu_256x16.csv").open() as file:
        values = {row["algorithm"].removeprefix("NN_"): float(row["log_rmse"]) for row in csv.DictReader(file)}
    ranked = sorted(values, key=values.__getitem__)
    found = [name for name in ranked if slug in _slugs(kind, bmdal.Method.from_name(name))]
    if not found:
        return "None of the published methods uses it."
    place = "{0} of {1}, mean log RMSE {2:.3f}"
    best = place.format(ranked.index(found[0]) + 1, len(ranked), values[found[0]])
    random = place.format(ranked.index("random") + 1, len(ranked), values["random"])
    if found[0] == "random":
        return f"`random` is number {random} (ReLU networks, 256 + 16 x 256 labels, 15 data sets)."
    return (
        f"The best of the {len(found)} methods that use it is `{found[0]}`, number {best} (ReLU networks, 256 + 16 x "
        f"256 labels, 15 data sets). `random` is number {random}."
    )


def _slugs(kind: str, method: bmdal.Method) -> set[str]:
    parts: dict[str, tuple[Component | None, ...]] = {
        "selection": (method.selection,),
        "kernel": (method.kernel,),
        "transformation": method.transformations,
    }
    return {short_name(type(part)) for part in parts[kind] if part is not None}


def kind_page(kind: str) -> str:
    """The list of the components of a kind."""
    parts = [title(TITLES[kind])]
    if kind == "selection":
        parts += [
            "What each of them picks in two dimensions, and when to use it.",
            "",
            ".. grid:: 1 2 2 3",
            "   :gutter: 3",
            "",
        ]
    else:
        parts += [".. list-table::", "   :widths: 20 80", ""]
    for slug in components(kind):
        advice = as_rst(ABOUT[kind][slug].advice)[0]
        if kind == "selection":
            parts += [f"   .. grid-item-card:: {slug}", f"      :img-top: selection/{slug}.png"]
            parts += [f"      :link: selection/{slug}", "      :link-type: doc", "", f"      {advice}", ""]
        else:
            parts += [f"   * - :doc:`{slug} <{kind}/{slug}>`", f"     - {advice}"]
    parts += ["", ".. toctree::", "   :hidden:", "", *(f"   {kind}/{slug}" for slug in components(kind)), ""]
    return "\n".join(parts)


def api_page() -> str:
    """The list of all public names; each has its own page."""
    parts, seen = [title("API reference")], set[int]()
    for module in (*PUBLIC, *DEFINED):
        imported = import_module(module)
        names = [n for n in DEFINED.get(module) or imported.__all__ if id(getattr(imported, n)) not in seen]
        seen |= {id(getattr(imported, n)) for n in names}
        parts += [title(module, "-"), *as_rst((imported.__doc__ or "").split("\n")[0]), ""]
        parts += [f".. currentmodule:: {module}", "", ".. autosummary::", "   :toctree: api", "   :nosignatures:", ""]
        parts += [*(f"   {name}" for name in sorted(names)), ""]
    return "\n".join(parts)


def title(text: str, line: str = "=") -> str:
    """A heading as reStructuredText."""
    return f"{text}\n{line * len(text)}\n"


def as_rst(text: str) -> list[str]:
    """Lines of a docstring as reStructuredText: backticks mark code, indented paragraphs are Python, the rest is text.

    Formulas contain characters that have a meaning in reStructuredText, such as `*`, `|` and a final underscore; they
    are escaped. Indented text below a section such as "Args:" is left to `sphinx.ext.napoleon`.
    """
    lines: list[str] = []
    section = code = False
    before = ""
    for line in text.expandtabs().split("\n"):
        if line and not line.startswith(" "):
            section, code = line.endswith(":") and line[:-1].isalpha(), False
        elif line and not section and not before and not code:
            lines += [".. code-block:: python", ""]
            code = True
        before = line
        lines.append(line if code else _escaped(line))
    return lines


def _escaped(line: str) -> str:
    pieces = line.split("`")
    plain = [re.sub(r"([*|\\]|(?<=\w)_(?!\w))", r"\\\1", piece) for piece in pieces[::2]]
    code = [f"``{piece}``" for piece in pieces[1::2]]
    return "".join(part for pair in zip(plain, [*code, ""], strict=True) for part in pair)


def _plane() -> tuple[Tensor, Tensor, Map]:
    """Labelled and pool points in two dimensions, and their features for an approximately Gaussian kernel."""
    generator = torch.Generator().manual_seed(0)
    x_train, x_pool = draw_points(N_TRAIN, generator), draw_points(N_POOL, generator)
    frequencies = torch.randn(2, 256, generator=generator) / 0.7

    def features(x: Tensor) -> Tensor:
        return torch.cat([torch.cos(x @ frequencies), torch.sin(x @ frequencies)], dim=1) / 16

    return x_train, x_pool, features


def _asked(slug: str, component: type[Component]) -> str:
    assert issubclass(component, Selection)
    mode = "" if not component.modes else "-tp" if "TP" in component.modes else "-p"
    return PICTURES.get(slug, slug + mode)


def _ridge(Phi: Tensor, y: Tensor) -> nn.Module:
    """Ridge regression on features (n, p) and targets (n, 1), as a network."""
    model = nn.Linear(Phi.shape[1], 1, bias=False).requires_grad_(False)
    model.weight.copy_((Phi.T @ torch.linalg.solve(Phi @ Phi.T + 0.01 * torch.eye(len(Phi)), y)).T)
    return model


def choice(slug: str, component: type[Component], x_train: Tensor, x_pool: Tensor, features: Map) -> Figure:
    """Which 30 points of the plane a selection picks."""
    pool, train, name = features(x_pool), features(x_train), _asked(slug, component)
    if name == "igs-tp":
        y = target(x_train)
        batch = bmdal.select_batch(f"{name}_linear", _ridge(train, y), train, y, pool, 30, generator=0)
    else:
        batch = bmdal.select(name, pool, 30, generator=0, train=train, sigma=0.1)
    figure = Figure(figsize=(5, 4.7), layout="constrained")
    axes = figure.subplots()
    x1, x2 = (torch.linspace(float(x.min()) - 0.2, float(x.max()) + 0.2, 200) for x in x_pool.T)
    grid = torch.stack(torch.meshgrid(x1, x2, indexing="xy"), dim=-1)
    levels = torch.logspace(-2.5, -0.3, 10).tolist()
    axes.contourf(*grid.unbind(-1), density(grid), levels=levels, cmap="Greys", norm="log", vmax=4, extend="max")
    axes.plot(*x_train.T, "x", color="black", markersize=6, label="labelled")
    axes.plot(*x_pool[batch.indices].T, "o", color="#D55E00", markeredgecolor="white", markersize=8, label="picked")
    axes.set(xticks=[], yticks=[], aspect="equal")
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure
