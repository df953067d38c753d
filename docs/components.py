"""Pages of the site that follow from the code: one for each component, the gallery of recipes, the public names.

`docs/conf.py` calls `write` before each build. What the code cannot say, cost and advice, is in `ABOUT`.
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
from torch import Tensor

import bmdal
from bmdal.component import _REGISTRY, Component
from bmdal.errors import IncompatibleError
from bmdal.kernels import BaseKernel, Traits
from bmdal.selection import Selection
from bmdal.transformations import Transformation
from examples.custom_network import N_POOL, N_TRAIN, density, draw_points

Map = Callable[[Tensor], Tensor]
ROOT = Path(__file__).resolve().parent.parent
KINDS = {"selection": Selection, "kernel": BaseKernel, "transformation": Transformation}
TITLES = {"selection": "Selection methods", "kernel": "Kernels", "transformation": "Transformations"}


@dataclass(frozen=True)
class About:
    """What a page says beside what the code says: a component's cost, and when to use it."""

    cost: str
    advice: str


# n: pool points, m: training points, t: target points, p: features, b: batch size; Phi is the pool's n x p matrix.
ABOUT: dict[str, dict[str, About]] = {
    "selection": {
        "random": About(
            "O(n). No feature is computed.",
            "As the baseline that every other method has to beat; with a random forest on `fried` none "
            "that was measured does.",
        ),
        "maxdiag": About(
            "O(n p) for the diagonal and one sort of n numbers.",
            "For a batch of one, where it is plain uncertainty sampling. In larger batches the points repeat one "
            "another: all its published variants are worse than random selection.",
        ),
        "maxdet": About(
            "At most O(n b (p + b)) time and n b numbers of memory; for batches of more points than features at most "
            "O(n b p^2). Posterior variances only fall, so that most points need not be looked at in most steps.",
            "For a kernel that is a model of the data, such as a Gaussian process's own, where it is exact uncertainty "
            "sampling, one point after the other. It does not ask how many other points a point stands for.",
        ),
        "bait-f": About(
            "O((n + m) p^2) for the second moments, with targets O(n p^2 + t p^2); then O(n p + p^2) for each of the b "
            "points.",
            "Where you know the points that matter (`x_target`), and for forests and other models with members, where "
            "`bait-f-p_pred` is the default. Give it a sketch of moderate width: the cost grows with its square.",
        ),
        "bait-fb": About(
            "That of `bait-f` for 2 b points, then O(b^3) for the removals.",
            "To repeat BAIT as it was published. It costs twice as much as `bait-f`, and in the published benchmark "
            "its mean log RMSE is no lower.",
        ),
        "fw": About(
            "One pass over Phi for each of the b points, O(n p b); on a CPU most of it in half precision.",
            "With an ACS kernel, as `fw-p_grad_rp-512_acs-rf-hyper-512`: it approximates the pool's mean embedding, "
            "and what is known already it learns from the kernel alone.",
        ),
        "maxdist": About(
            "At most one pass over Phi for each of the b points, O(n p b), and O(n m p) before in mode TP. On a CPU a "
            "bound of 41 numbers for each point spares most of it, for n >= 4096 and 120 <= p <= 1024.",
            "To cover the pool to its edges: with `grad` it is among the ten published methods with the lowest maximum "
            "error. Outliers are chosen first, and how dense the pool is plays no part.",
        ),
        "kmeanspp": About(
            "That of `maxdist`, and O(n) for each draw.",
            "For a spread batch that differs with the seed, such as several batches side by side. In the published "
            "benchmark it is close behind `lcmd` and `bait-f`.",
        ),
        "lcmd": About(
            "That of `maxdist`, and O(n) for the clusters in each step.",
            "First choice for networks, as `lcmd-tp_grad_rp-512`: without an ensemble and with a sketch, no published "
            "method has a lower mean log RMSE. For forests prefer `bait-f-p_pred`.",
        ),
        "epig": About(
            "O(n t p) for the covariances with the targets, then O(n (t + p + b)) for each of the b points, or "
            "O(n (t + p) + p^2) where b > p. Memory: n (t + b) numbers, or n t.",
            "Where you know the points that matter (`x_target`); without any, 256 random pool points stand for them. "
            "It is no part of the published benchmark.",
        ),
    },
    "kernel": {
        "linear": About(
            "No pass through the network; p is the number of inputs.",
            "For embeddings that are good features already. Of a network's raw inputs it says little of what the "
            "network has learned: in the published benchmark it is far behind `grad`.",
        ),
        "nngp": About(
            "No pass through the network. A kernel matrix of n x n' points costs O(n n' (d + layers)) for d inputs; "
            "there is no feature matrix.",
            "For a choice that must not depend on the trained weights. In the published benchmark it is about as good "
            "as `linear`, far behind `grad`.",
        ),
        "ll": About(
            "One forward pass. p is the number of the last layer's parameters: its width + 1 for a single output.",
            "Where one pass must do, or the gradients of all layers are out of reach, as with large graphs or "
            "transformers. Elsewhere `grad` is better in the published benchmark.",
        ),
        "grad": About(
            "A forward and a backward pass for each output. For linear layers the memory is n times the sum of the "
            "layers' input and output widths, and so is the cost of a kernel value; other layers take n times their "
            "number of parameters unless a sketch follows.",
            "First choice for networks, followed by a sketch: `grad_rp-512`.",
        ),
        "pred": About(
            "A prediction of each of K members; p is K times the number of outputs.",
            "For models with members in place of gradients: forests, bagged boosting, MC-dropout, lists of models, a "
            "matrix of predictions.",
        ),
    },
    "transformation": {
        "scale": About(
            "O(m p), the diagonal of the training points.",
            "Before a selection that compares the kernel with the noise: `maxdet`, `bait-f`, `bait-fb`, `epig`. Where "
            "distances are only compared with each other it changes nothing.",
        ),
        "train": About(
            "With a feature matrix O(m p^2 + p^3) once and O(n p^2) for the pool, or O(m^2 p + m^3) and O(n m p) where "
            "2 m < p; without one O(m^3 + n m^2), and n m numbers of memory.",
            "For selections in mode P, and for `maxdiag`, that have to know what the labelled points tell already.",
        ),
        "rp": About(
            "O(n p P) for plain features; for gradients of linear layers O(n P) times the sum of the layers' widths.",
            "After `grad`, or any kernel with too many features. 512 are enough in the published benchmark: "
            "`lcmd-tp_grad` is hardly better than `lcmd-tp_grad_rp-512`.",
        ),
        "ens": About(
            "N times the cost of what stands before it. Without a sketch the features lie side by side, N p of them.",
            "Where several networks are trained anyway: the published gain over a single network is small, and N times "
            "the training is not.",
        ),
        "acs-rf": About(
            "O(m p^2 + p^3) once, then O(n p (p + P)); in float64.",
            "With `kmeanspp-p` and `fw-p`, to let them know what is labelled. The best of its published methods is "
            "about as good as `kmeanspp-tp_grad_rp-512`, which has no need of it.",
        ),
        "acs-rf-paper": About(
            "That of `acs-rf`.",
            "To follow the paper's text to the letter. The published numbers were computed with `acs-rf`.",
        ),
        "acs-rf-hyper": About(
            "That of `acs-rf`, and O(m p) for the labels.",
            "In ACS-FW, `fw-p_ll_acs-rf-hyper-512`, and with `fw-p` on `grad_rp-512`, the best of the published "
            "variants of `fw`. The noise need not be known, the labels must be given.",
        ),
        "acs-grad": About(
            "That of `train`; a kernel value costs two products. As a matrix it would have p^2 columns, hence there is "
            "none.",
            "As an ACS kernel without random features. A selection that needs a matrix needs a sketch after it: "
            "`acs-grad_rp-512`.",
        ),
    },
}
# How each selection is asked in its picture: in mode TP where it has one, `maxdiag` with the posterior.
PICTURES = {"maxdiag": "maxdiag_train"}
PUBLIC = (
    "bmdal",
    "bmdal.features",
    "bmdal.kernels",
    "bmdal.transformations",
    "bmdal.selection",
    "bmdal.members",
    "bmdal.regressor",
)
# Modules without `__all__`: what they define.
DEFINED = {
    "bmdal.testing": ("check_kernel", "check_transformation", "check_selection"),
    "bmdal.adapters.skactiveml": ("BatchQueryStrategy",),
}


def write(folder: Path) -> None:
    """Write all generated pages and pictures below a folder, in place of what is there."""
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
    """Write the scripts of `examples/recipes` as sphinx-gallery reads them, with the headings of `docs/recipes.md`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "GALLERY_HEADER.rst").write_text(title("Recipes as scripts") + RECIPES)
    text = (ROOT / "docs" / "recipes.md").read_text()
    for script in sorted((ROOT / "examples" / "recipes").glob("*.py")):
        heading = re.search(rf"^## (.*)\n\n\[{script.name}\]", text, flags=re.MULTILINE)
        assert heading is not None, f"docs/recipes.md has no section that begins with a link to {script.name}"
        code = script.read_text().replace('"""', f'"""\n{title(heading[1])}\n', 1)
        (folder / script.name).write_text(code.replace("\n# recipe\n", "\n# %%\n# The recipe:\n\n"))


RECIPES = """
Complete scripts, to be run in a checkout. What each is about: :doc:`/recipes`.
"""


def components(kind: str) -> dict[str, type[Component]]:
    """The library's own registered components of a kind by their short names, in the order of `ABOUT`."""
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
            f"   :alt: The 30 points that {slug} picks of {N_POOL:,} in a plane",
            "   :width: 450px",
            "",
        ]
        caption = (
            f"`{_asked(slug, component)}` picks 30 of {N_POOL:,} points in a plane (grey: their density); {N_TRAIN} "
            "are labelled (crosses). The kernel is a Gaussian one, by 512 random features."
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
    "Here n is the number of pool points, m of training points, t of target points, p of features, b of points to "
    "choose, and Phi the pool's feature matrix. What the network itself costs comes on top."
)


def properties(component: type[Component]) -> Iterator[tuple[str, str]]:
    """What the class says of itself, as rows of a table."""
    if issubclass(component, Selection):
        name = component.tokens[0]
        yield "name", ", ".join(f"`{name}-{mode.lower()}`" for mode in component.modes) or f"`{name}`"
        needs = "a feature matrix" if component.needs_explicit else "any kernel"
        yield "needs", needs if component.needs_kernel else "nothing but the number of points"
        yield "target points", "yes, `x_target` or `target`" if component.takes_target else "no"
        yield "`exclude`, `groups`", _yes(component.takes_limits)
        yield "`costs`", "yes, gain per cost" if component.takes_costs else "no"
        yield "precision", "float64" if component.needs_float64 else "that of the features"
        return
    yield "name", ", ".join(f"`{re.sub(r'{n_(features|models)}', 'N', token)}`" for token in component.tokens)
    if issubclass(component, BaseKernel):
        yield "feature matrix", _yes(component.traits.explicit)
        yield "can be sketched (`rp-N`)", _yes(component.traits.sketchable)
        yield "noise `sigma` unless given", f"{component.sigma:g}"
    if issubclass(component, Transformation):
        with_matrix, without = _after(component, True), _after(component, False)
        yield "kernels without a feature matrix", "refused" if without is None else "taken"
        assert with_matrix is not None
        result = "a feature matrix" if with_matrix.explicit else "no feature matrix"
        if without is not None and without.explicit != with_matrix.explicit:
            result = "a feature matrix where there was one"
        yield "gives", result
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
    """Where the best published method that has a component stands."""
    with (ROOT / "results" / "published" / "relu_256x16.csv").open() as file:
        values = {row["algorithm"].removeprefix("NN_"): float(row["log_rmse"]) for row in csv.DictReader(file)}
    ranked = sorted(values, key=values.__getitem__)
    found = [name for name in ranked if slug in _slugs(kind, bmdal.Method.from_name(name))]
    if not found:
        return "None of the published methods has it."
    place = "{0} of {1}, mean log RMSE {2:.3f}"
    best = place.format(ranked.index(found[0]) + 1, len(ranked), values[found[0]])
    random = place.format(ranked.index("random") + 1, len(ranked), values["random"])
    if found[0] == "random":
        return f"`random` is number {random} (ReLU networks, 256 + 16 x 256 labels, 15 data sets)."
    return (
        f"The best of the {len(found)} methods that have it is `{found[0]}`, number {best} (ReLU networks, 256 + 16 x "
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
        parts += ["What each picks in a plane, and when to use it.", "", ".. grid:: 1 2 2 3", "   :gutter: 3", ""]
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
    """The list of all public names, each with a page of its own."""
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
    """Lines of a docstring as reStructuredText: backticks are code, indented paragraphs Python, all else is as it is.

    Formulas hold characters that mean something in reStructuredText, such as `*`, `|` and a final underscore. What is
    indented below a section such as "Args:" stays as it is, for `sphinx.ext.napoleon`.
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
    """Labelled and pool points in two dimensions, and features of them with an approximately Gaussian kernel."""
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


def choice(slug: str, component: type[Component], x_train: Tensor, x_pool: Tensor, features: Map) -> Figure:
    """Which 30 points of the plane a selection picks."""
    pool, train = features(x_pool), features(x_train)
    batch = bmdal.select(_asked(slug, component), pool, 30, generator=0, train=train, sigma=0.1)
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
