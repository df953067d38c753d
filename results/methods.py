"""Method names: grouping, labels, and the sets of methods that the paper shows.

A name is `selection[-mode]_kernel[_transform...]`, as in `lcmd-tp_grad_rp-512` (arXiv 2203.09410, Section 5).
"""

from __future__ import annotations

RANDOM = "random"

# In the order of the paper's tables.
SELECTION_LABELS = {
    "random": "Random",
    "maxdiag": "MaxDiag",
    "maxdet": "MaxDet",
    "bait-f": "BAIT-F",
    "bait-fb": "BAIT-FB",
    "fw": "FrankWolfe",
    "maxdist": "MaxDist",
    "kmeanspp": "KMeansPP",
    "lcmd": "LCMD",
}
NEWER_LABELS = {
    "epig": "EPIG",
    "maxherding": "MaxHerding",
    "uherding": "UHerding",
    "power": "Power",
    "rpcholesky": "RPCholesky",
    "igs": "iGS",
}

# Methods from the literature as combinations of the framework (arXiv 2203.09410, Table 2).
LITERATURE = {
    "random": "No BMAL (random)",
    "maxdiag_ll_train": "BALD",
    "maxdet-p_ll_train": "BatchBALD",
    "bait-fb-p_ll_train": "BAIT",
    "fw-p_ll_acs-rf-hyper-512": "ACS-FW",
    "maxdist-tp_ll": "Core-Set / FF-Active",
    "kmeanspp-p_ll_train": "BADGE",
    "lcmd-tp_grad_rp-512": "LCMD-TP (the paper's)",
}

_MOST_SHOWN = 10  # more curves in one panel cannot be told apart
_SELECTED_RELU = (
    "random",
    "maxdiag_grad_rp-512_acs-rf-512",
    "maxdet-p_grad_rp-512_train",
    "bait-f-p_grad_rp-512_train",
    "fw-p_grad_rp-512_acs-rf-hyper-512",
    "maxdist-p_grad_rp-512_train",
    "kmeanspp-p_grad_rp-512_acs-rf-512",
    "lcmd-tp_grad_rp-512",
)
_SELECTED_SILU = (
    "random",
    "maxdiag_grad_rp-512_train",
    "maxdet-p_grad_rp-512_train",
    "bait-f-p_grad_rp-512_train",
    "fw-p_grad_rp-512_acs-rf-hyper-512",
    "maxdist-tp_grad_rp-512",
    "kmeanspp-tp_grad_rp-512",
    "lcmd-tp_grad_rp-512",
)


def selection_of(method: str) -> str:
    """Return the selection method in a method's name, without its mode: `bait-fb` for `bait-fb-p_ll_train`."""
    return method.partition("_")[0].removesuffix("-p").removesuffix("-tp")


def mode_of(method: str) -> str:
    """Return `P` or `TP`, or an empty string for a selection method without a mode."""
    token = method.partition("_")[0]
    return "TP" if token.endswith("-tp") else "P" if token.endswith("-p") else ""


def kernel_of(method: str) -> str:
    """Return base kernel and transformations as a chain, `grad > rp-512 > train`; an empty string for `random`."""
    return " > ".join(method.split("_")[1:])


def label_of(method: str) -> str:
    """Return a short label with selection method and mode, such as `LCMD-TP`."""
    selection = selection_of(method)
    return "-".join(
        part for part in ((SELECTION_LABELS | NEWER_LABELS).get(selection, selection), mode_of(method)) if part
    )


def labels_of(methods: list[str]) -> dict[str, str]:
    """Return a label for each method. If short labels would coincide, the kernel is added."""
    short = {method: label_of(method) for method in methods}
    shared = {label for label in short.values() if list(short.values()).count(label) > 1}
    return {method: f"{label} ({kernel_of(method)})" if label in shared else label for method, label in short.items()}


def group_rank(method: str) -> int:
    """Return the position of a method's selection method in the paper's tables; unknown ones come last."""
    selections = list(SELECTION_LABELS)
    selection = selection_of(method)
    return selections.index(selection) if selection in selections else len(selections)


def selected_methods(published: str, present: list[str]) -> list[str]:
    """Return the methods that a figure shows: all that are present or, if there are more than ten, the paper's choice.

    `published` is the experiment of the paper to take the choice from, `relu` or `silu`.
    """
    chosen = _SELECTED_SILU if published == "silu" else _SELECTED_RELU
    shown = [method for method in chosen if method in present]
    if len(present) > _MOST_SHOWN and len(shown) > 1:
        return shown
    return sorted(present, key=lambda method: (group_rank(method), method))
