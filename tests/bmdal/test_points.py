"""Points that are no single tensor: tuples, dictionaries, loaders, sequences of several lengths, graphs."""

from __future__ import annotations

from collections import UserDict
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)
from toys import normal

from bmdal import Batch, BmdalError, select, select_batch
from bmdal.kernels import Gradient, LastLayer
from bmdal.network.call import Call
from bmdal.network.network import Network
from bmdal.points import Items

NAMES = ["random", "lcmd-tp_ll", "maxdist-tp_grad", "lcmd-tp_grad_rp-32", "maxdet-p_ll_train"]
N_TRAIN, N_POOL = 12, 60


class Two(nn.Module):
    """Two inputs, of which one makes the other's weights."""

    def __init__(self) -> None:
        super().__init__()
        self.of_x, self.of_z, self.head = nn.Linear(4, 6), nn.Linear(3, 6), nn.Linear(12, 1)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        a, b = torch.tanh(self.of_x(x)), torch.tanh(self.of_z(z))
        return self.head(torch.cat([a * b, b], dim=1))  # type: ignore[no-any-return]


class AsOne(nn.Module):
    """The same network of one tensor, (x, z)."""

    def __init__(self, two: Two) -> None:
        super().__init__()
        self.two = two

    def forward(self, xz: Tensor) -> Tensor:
        return self.two(xz[:, :4], xz[:, 4:])  # type: ignore[no-any-return]


def two() -> Two:
    torch.manual_seed(0)
    return Two().double()


def xz(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    return normal(n, 4, seed=seed), normal(n, 3, seed=seed + 100)


def batch(name: str, net: nn.Module, train: Any, pool: Any, **options: Any) -> Batch:
    return select_batch(name, net, train, None, pool, 7, 5, **options)


class Records(Dataset[Any]):
    def __init__(self, points: tuple[Tensor, Tensor], form: str) -> None:
        self.points, self.form = points, form

    def __len__(self) -> int:
        return len(self.points[0])

    def __getitem__(self, i: int) -> Any:
        x, z = (t[i] for t in self.points)
        forms: dict[str, Any] = {
            "tuple": (x, z),
            "dictionary": {"x": x, "z": z},
            "labels": {"x": x, "labels": torch.tensor(0.5), "z": z},
            "arrays": {"x": x.numpy(), "z": z.numpy()},
            "nested": ({"x": x, "z": z}, torch.tensor(0.5)),
        }
        return forms[self.form]


@pytest.mark.parametrize("name", NAMES)
def test_two_inputs_in_all_forms(name: str) -> None:
    net, train, pool = two(), xz(N_TRAIN), xz(N_POOL, seed=1)
    expected = batch(name, AsOne(net), torch.cat(train, dim=1), torch.cat(pool, dim=1)).indices.tolist()

    def chosen(make: Any, **options: Any) -> list[int]:
        return batch(name, net, make(train), make(pool), **options).indices.tolist()

    def by_tuple(model: Any, b: Any) -> Any:
        return model(*b)

    assert chosen(lambda p: p, forward=by_tuple) == expected
    assert chosen(lambda p: tuple(t.numpy() for t in p), forward=by_tuple) == expected
    assert chosen(lambda p: {"x": p[0], "z": p[1]}) == expected
    assert chosen(lambda p: UserDict({"z": p[1], "x": p[0]})) == expected
    assert chosen(lambda p: Records(p, "tuple"), forward=by_tuple) == expected
    for form in ("dictionary", "labels", "arrays", "nested"):
        assert chosen(lambda p, form=form: Records(p, form)) == expected
        assert chosen(lambda p, form=form: DataLoader(Records(p, form), batch_size=5)) == expected
    assert chosen(lambda p: DataLoader(TensorDataset(*p), batch_size=5), forward=by_tuple) == expected
    several = {
        "collate_fn": lambda items: {"x": torch.stack([i[0] for i in items]), "z": torch.stack([i[1] for i in items])}
    }
    assert chosen(lambda p: list(zip(*p, strict=True)), **several) == expected
    assert chosen(lambda p: DataLoader(TensorDataset(*p), batch_size=5, **several)) == expected


def test_float32_networks_take_float64_arrays() -> None:
    net, train, pool = two().float(), xz(N_TRAIN), xz(N_POOL, seed=1)
    expected = batch(
        "lcmd-tp_grad",
        net,
        {"x": train[0].float(), "z": train[1].float()},
        {"x": pool[0].float(), "z": pool[1].float()},
    )
    arrays = [{"x": p[0].numpy(), "z": p[1].numpy()} for p in (train, pool)]
    assert batch("lcmd-tp_grad", net, *arrays).indices.tolist() == expected.indices.tolist()
    far = [{"x": a["x"] + 1e9, "z": a["z"]} for a in arrays]
    with pytest.raises(BmdalError, match=r"input\['x'\] 0 has values from"):
        batch("lcmd-tp_grad", net, *far)


def test_what_is_ignored_is_said() -> None:
    torch.manual_seed(0)
    net, x, pool = nn.Linear(4, 1).double(), normal(N_TRAIN, 4), normal(N_POOL, 4, seed=1)
    y = torch.zeros(N_POOL)
    ignored = "x_pool: the first of 2 parts is passed to the network, the others are ignored"
    expected = batch("lcmd-tp_ll", net, x, pool)
    assert expected.notes == ()
    loader = DataLoader(TensorDataset(pool, y), batch_size=8, num_workers=2, drop_last=True)
    for given, notes in (
        ((pool, y), (ignored,)),
        (TensorDataset(pool, y), (ignored,)),
        (
            loader,
            (
                "x_pool: num_workers=2 is not used, items are read in this process",
                "x_pool: drop_last=True is ignored, the last points count too",
                ignored,
            ),
        ),
    ):
        chosen = batch("lcmd-tp_ll", net, x, given)
        assert chosen.notes == notes
        assert chosen.indices.tolist() == expected.indices.tolist()
    named = Records((pool, y[:, None]), "labels")
    with pytest.raises(
        BmdalError, match=r"cannot be called with .*unexpected keyword argument.*; use forward=lambda network"
    ):
        batch("lcmd-tp_ll", net, named, named)


class Output(NamedTuple):
    hidden: Tensor
    mean: Tensor
    log_variance: Tensor


class Heads(nn.Module):
    """Several outputs, in the form that is asked for."""

    def __init__(self, form: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.form = nn.Linear(4, 5), nn.Linear(5, 3), form
        self.double()

    def forward(self, x: Tensor) -> Any:
        z = self.head(torch.tanh(self.body(x)))
        mean, log_variance = z[:, :1], z[:, 1:2]
        forms: dict[str, Any] = {
            "matrix": z,
            "mean": mean,
            "first": mean[:, 0],
            "tuple": (mean, log_variance),
            "named": Output(x, mean, log_variance),
            "dictionary": {"mean": mean, "log_variance": log_variance},
            "logits": {"logits": mean, "hidden": x},
            "one": {"prediction": mean, "classes": torch.zeros(3, dtype=torch.long)},
        }
        return forms[self.form]


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_choice_of_outputs(name: str) -> None:
    x, pool = normal(N_TRAIN, 4), normal(N_POOL, 4, seed=1)
    kernel = name.replace("_ll", "_ll[head]")

    def chosen(form: str, **options: Any) -> list[int]:
        return batch(kernel, Heads(form), x, pool, **options).indices.tolist()

    expected = chosen("mean")
    for form, output in (
        ("first", None),
        ("logits", None),
        ("one", None),
        ("tuple", 0),
        ("matrix", 0),
        ("matrix", [0]),
    ):
        assert chosen(form, output=output) == expected, form
    assert chosen("named", output="mean") == chosen("dictionary", output="mean") == expected
    assert chosen("tuple", output=1) == chosen("matrix", output=1) == chosen("dictionary", output="log_variance")
    assert chosen("tuple", forward=lambda m, b: m(b)[0]) == expected


def test_mean_and_variance_are_never_both_taken_unnoticed() -> None:
    x, pool, y = normal(N_TRAIN, 4), normal(N_POOL, 4, seed=1), normal(N_TRAIN, 1)
    with pytest.raises(
        BmdalError, match=r"returns tuple with 0 \(16, 1\), 1 \(16, 1\); choose the one that counts.*output=0"
    ):
        batch("lcmd-tp_ll", Heads("tuple"), x, pool)
    for labels in (y, y[:, 0], y.numpy()):
        with pytest.raises(
            BmdalError,
            match=r"has 3 output\(s\) and y_train 1 target\(s\): choose the outputs .* output=0 for the mean",
        ):
            select_batch("lcmd-tp_ll", Heads("matrix"), x, labels, pool, 5, 0)
    select_batch("lcmd-tp_ll", Heads("matrix"), x, y, pool, 5, 0, output=0)
    both = select_batch("lcmd-tp_ll", Heads("matrix"), x, normal(N_TRAIN, 3), pool, 5, 0)
    assert "the network has 3 outputs; all count, each in units of its spread" in both.notes[0]
    for output, message in (
        (3, r"output=3: .* must be a column from 0 to 2"),
        (-1, "must be a column from 0 to 2"),
        ("mean", r"output='mean': the network returns one tensor of shape \(16, 3\)"),
        ([], r"output must be a column, a list of columns, or the name of a tensor, got \[\]"),
        (True, "output must be a column, .* got True"),
        ([0.0], r"output must be a column, .* got \[0.0\]"),
        (slice(0, 1), "output must be a column, .* got slice"),
    ):
        with pytest.raises(BmdalError, match=message):
            batch("lcmd-tp_ll", Heads("matrix"), x, pool, output=output)
    with pytest.raises(BmdalError, match=r"output=2: the network returns tuple; valid outputs are \[0, 1\]"):
        batch("lcmd-tp_ll", Heads("tuple"), x, pool, output=2)


def test_several_outputs_count_by_their_spread() -> None:
    """The kernel is sum_c <df_c, df_c'> / s_c^2, s_c the standard deviation of output c over the training points."""
    x, pool, net = normal(N_TRAIN, 4), normal(9, 4, seed=1), Heads("matrix")
    with torch.no_grad():
        s = net(x).std(dim=0, correction=0)
    K = torch.zeros(9, 9, dtype=torch.float64)
    for c in range(3):
        rows = [torch.autograd.grad(net(p[None])[0, c], list(net.parameters())) for p in pool]
        G = torch.stack([torch.cat([g.flatten() for g in row]) for row in rows]) / s[c]
        K += G @ G.T
    features = Gradient().features(Network(net, x, train=x), pool)
    torch.testing.assert_close(features.kernel(features), K)
    scaled = Heads("matrix")
    with torch.no_grad():
        for p in scaled.head.parameters():
            p[1] *= 2.0**20
    big = normal(N_POOL, 4, seed=1)
    plain, other_units = (batch("lcmd-tp_ll[body]", model, x, big).indices.tolist() for model in (net, scaled))
    assert other_units == plain


# Sequences of several lengths.


class Sequences(nn.Module):
    """Mean embedding of a sequence's tokens; token 0 is padding."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.hidden, self.head = nn.Embedding(20, 6), nn.Linear(6, 6), nn.Linear(6, 1)
        self.double()

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids > 0).double()[..., None]
        h = torch.tanh(self.hidden(self.embedding(ids))) * mask
        return self.head(h.sum(dim=1) / mask.sum(dim=1))  # type: ignore[no-any-return]


def sequences(n: int, seed: int) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [torch.from_numpy(rng.integers(1, 20, rng.integers(2, 9))) for _ in range(n)]


def padded(items: list[Tensor]) -> Tensor:
    return nn.utils.rnn.pad_sequence(items, batch_first=True)


def rows_of_gradients(net: nn.Module, batches: list[Any]) -> Tensor:
    rows = [torch.autograd.grad(net(b).sum(), list(net.parameters())) for b in batches]
    return torch.stack([torch.cat([g.flatten() for g in row]) for row in rows])


@pytest.mark.parametrize("name", NAMES)
def test_sequences_of_several_lengths(name: str) -> None:
    net, train, pool = Sequences(), sequences(N_TRAIN, 0), sequences(N_POOL, 1)
    both = padded([*train, *pool])
    expected = batch(name, net, both[:N_TRAIN], both[N_TRAIN:]).indices.tolist()
    assert batch(name, net, train, pool, collate_fn=padded).indices.tolist() == expected
    loaders = [DataLoader(items, batch_size=4, collate_fn=padded) for items in (train, pool)]
    assert batch(name, net, *loaders).indices.tolist() == expected
    assert batch(name, net, tuple(train), tuple(pool), collate_fn=padded).indices.tolist() == expected
    items = Items(pool, padded, whole=False)
    features = Gradient().features(Network(net, items), items)
    G = rows_of_gradients(net, [p[None] for p in pool])
    torch.testing.assert_close(features.kernel(features), G @ G.T)


def test_a_collate_fn_that_mixes_points_is_refused() -> None:
    net, train, pool = nn.Linear(4, 1).double(), list(normal(N_TRAIN, 4)), list(normal(N_POOL, 4, seed=1))

    def centred(items: list[Tensor]) -> Tensor:
        X = torch.stack(items)
        return X - X.mean(dim=0)

    with pytest.raises(BmdalError, match="depend on the other points of the batch"):
        batch("lcmd-tp_grad", net, train, pool, collate_fn=centred)
    with pytest.raises(BmdalError, match=r"collate_fn cannot combine 1 item.*: AttributeError: "):
        batch("lcmd-tp_grad", net, train, pool, collate_fn=lambda items: items[0].nowhere)
    bad = [*pool[:30], torch.full((4,), torch.nan, dtype=torch.float64), *pool[30:]]
    with pytest.raises(BmdalError, match="x_pool has a NaN or infinite value in row 30"):
        batch("lcmd-tp_grad", net, train, bad, collate_fn=torch.stack)


def test_items_stay_as_they_are() -> None:
    class Rude(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(4, 1).double()

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x.mul_(2.0))  # type: ignore[no-any-return]

    pool = list(normal(N_POOL, 4, seed=1))
    before = [p.clone() for p in pool]
    given = {"x": normal(N_POOL, 4, seed=1)}
    batch("lcmd-tp_grad", Rude(), pool, pool, collate_fn=torch.stack)
    batch("lcmd-tp_grad", Rude(), given, given)
    assert all(torch.equal(a, b) for a, b in zip(pool, before, strict=True))
    assert torch.equal(given["x"], torch.stack(before))


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Any:
        return iter(normal(N_POOL, 4))


def test_messages() -> None:
    net, x, pool = nn.Linear(4, 1).double(), normal(N_TRAIN, 4), normal(N_POOL, 4, seed=1)
    data = TensorDataset(pool)
    words = [{"x": p, "name": "a"} for p in pool]
    cases: dict[str, Any] = {
        "x_pool is a loader that shuffles, leaves points out or changes them": DataLoader(data, shuffle=True),
        "is a loader that shuffles, leaves": DataLoader(data, sampler=SubsetRandomSampler(range(5))),
        "that shuffles": DataLoader(data, batch_sampler=torch.utils.data.BatchSampler(RandomSampler(data), 4, False)),
        "x_pool is a loader without batches of points": DataLoader(data, batch_size=None),
        "x_pool is a loader of an iterable data set": DataLoader(Stream()),
        r"the parts of x_pool must have the same length, they have x_pool\['x'\] \(60,\), x_pool\['z'\] \(59,\)": {
            "x": pool,
            "z": pool[1:],
        },
        "x_pool holds no inputs": {"labels": pool},
        "x_pool holds nested tuples: define how .* forward=": ((pool, pool), pool),
        r"it is a list \(use np.array, or pass a collate_fn\)": list(pool),
        r"shapes x_train \(12, 4\), x_pool \['x'\] \(60, 4\)": {"x": pool},
        r"item 0 of x_pool\['name'\] is a str; without a collate_fn": DataLoader(words),  # type: ignore[arg-type]
    }
    for message, given in cases.items():
        with pytest.raises(BmdalError, match=message):
            batch("lcmd-tp_ll", net, x, given)
    with pytest.raises(
        BmdalError, match="collate_fn is for the items of data sets, loaders and lists; x_train has no items"
    ):
        batch("lcmd-tp_ll", net, x, pool, collate_fn=torch.stack)
    with pytest.raises(BmdalError, match="kernel 'linear' works on the points themselves, which must be one tensor"):
        batch("lcmd-tp_linear", two(), {"x": pool, "z": pool}, {"x": pool, "z": pool})
    with pytest.raises(
        BmdalError, match=r"missing 1 required positional argument: 'z'; use forward=lambda network, batch"
    ):
        batch("lcmd-tp_ll", two(), xz(9), xz(9))
    with pytest.raises(BmdalError, match="pool must be one matrix, or each of its items one row"):
        select("lcmd-p", Records(xz(9), "dictionary"), 3, 0)


def test_padding_that_counts_is_refused() -> None:
    """Also where the few points that are looked at first have one length, and each piece has a point of full length."""

    class Unmasked(Sequences):
        def forward(self, ids: Tensor) -> Tensor:
            return self.head(torch.tanh(self.embedding(ids)).mean(dim=1))  # type: ignore[no-any-return]

    rng = np.random.default_rng(0)
    lengths = [2 if i in (1, 2, 3, 5, 6, 7, 10, 11, 12) else 8 for i in range(N_POOL)]
    pool = [torch.from_numpy(rng.integers(1, 20, k)) for k in lengths]
    train = [torch.from_numpy(rng.integers(1, 20, 8)) for _ in range(N_TRAIN)]
    for name in ("maxdist-tp_ll", "maxdist-tp_grad"):
        with pytest.raises(BmdalError, match="outputs for a point depend on the other points"):
            batch(name, Unmasked(), train, pool, collate_fn=padded)


def test_frames_in_dictionaries_and_tuples() -> None:
    """Their columns are compared, and their index labels are ids."""
    net = nn.Linear(4, 1).double()
    labels = [f"p{i}" for i in np.random.default_rng(0).permutation(N_POOL)]
    train, pool = pd.DataFrame(normal(N_TRAIN, 4).numpy()), pd.DataFrame(normal(N_POOL, 4, seed=1).numpy(), labels)
    expected = batch("lcmd-tp_ll", net, train, pool)
    first, more = expected.ids.tolist(), batch("lcmd-tp_ll", net, train, pool, exclude=expected.ids).ids.tolist()
    for form in (lambda f: {"input": f}, lambda f: (f, np.zeros(len(f)))):
        assert batch("lcmd-tp_ll", net, form(train), form(pool)).ids.tolist() == first
        assert batch("lcmd-tp_ll", net, form(train), form(pool), exclude=first).ids.tolist() == more
        with pytest.raises(BmdalError, match="must have the same columns in the same order: column 0 is 0 and 3"):
            batch("lcmd-tp_ll", net, form(train), form(pool[[3, 2, 1, 0]]))
    with pytest.raises(BmdalError, match="the frames in x_pool have different indexes"):
        batch("lcmd-tp_ll", two(), {"x": train, "z": train}, {"x": pool, "z": pool.reset_index(drop=True)})


def test_keys_in_another_order() -> None:
    net, train, pool = two(), xz(N_TRAIN), xz(N_POOL, seed=1)
    expected = batch("lcmd-tp_grad", net, {"x": train[0], "z": train[1]}, {"x": pool[0], "z": pool[1]})
    swapped = batch("lcmd-tp_grad", net, {"x": train[0], "z": train[1]}, {"z": pool[1], "x": pool[0]})
    assert swapped.indices.tolist() == expected.indices.tolist()
    mixed = [{"x": p[0].numpy().astype(np.float32), "z": p[1].numpy()} for p in (train, pool)]
    batch("lcmd-tp_grad", two().float(), *mixed)


class Masked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(4, 1).double()

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return self.layer(x * (mask == 0))  # type: ignore[no-any-return]


def test_masks_of_other_types() -> None:
    train = {"x": normal(N_TRAIN, 4).numpy(), "mask": np.zeros((N_TRAIN, 4), np.uint8)}
    pool = {"x": normal(N_POOL, 4, seed=1).numpy(), "mask": np.zeros((N_POOL, 4), np.int64)}
    same = batch("lcmd-tp_ll", Masked(), {**train, "mask": np.zeros((N_TRAIN, 4), np.int64)}, pool)
    assert batch("lcmd-tp_ll", Masked(), train, pool).indices.tolist() == same.indices.tolist()
    with pytest.raises(BmdalError, match=r"points must have the same type, they are x_train torch.bool"):
        batch("lcmd-tp_ll", Masked(), {**train, "mask": np.zeros((N_TRAIN, 4), bool)}, pool)


class Augmented(Dataset[Tensor]):
    def __len__(self) -> int:
        return N_POOL

    def __getitem__(self, i: int) -> Tensor:
        return torch.randn(4, dtype=torch.float64)


class Broken(Augmented):
    def __getitem__(self, i: int) -> Tensor:
        if i == 33:
            raise OSError("no such file")
        return torch.full((4,), float(i), dtype=torch.float64)


class Reversed(SequentialSampler):
    def __iter__(self) -> Any:
        return iter(range(N_POOL - 1, -1, -1))


class Normalizing(DataLoader[Any]):
    def __iter__(self) -> Any:
        return (x / 2 for x in super().__iter__())


def test_data_sets_and_loaders_with_ways_of_their_own() -> None:
    net, x, data = nn.Linear(4, 1).double(), normal(N_TRAIN, 4), TensorDataset(normal(N_POOL, 4, seed=1))
    state = torch.get_rng_state()
    with pytest.raises(BmdalError, match="the items of x_pool change each time they are read: switch augmentation"):
        batch("lcmd-tp_ll", net, x, Augmented())
    assert torch.equal(torch.get_rng_state(), state)
    with pytest.raises(BmdalError, match="item 33 of x_pool cannot be read: OSError: no such file"):
        batch("lcmd-tp_ll", net, x, Broken())
    for loader in (
        DataLoader(data, sampler=Reversed(data)),
        DataLoader(data, sampler=SequentialSampler(range(5))),
        Normalizing(data),
    ):
        with pytest.raises(BmdalError, match="shuffles, leaves points out or changes them"):
            batch("lcmd-tp_ll", net, x, loader)


def test_a_collate_fn_that_changes_items() -> None:
    """It gets copies."""
    net = nn.Linear(4, 1).double()
    train, pool = ([{"x": x, "label": 0.5} for x in normal(n, 4, seed=n)] for n in (N_TRAIN, N_POOL))

    def collate(items: list[dict[str, Any]]) -> Tensor:
        return torch.stack([item.pop("x").mul_(0.5) for item in items])

    chosen = batch("lcmd-tp_ll", net, train, pool, collate_fn=collate)
    halves = [torch.stack([item["x"] for item in items]) / 2 for items in (train, pool)]
    assert chosen.indices.tolist() == batch("lcmd-tp_ll", net, *halves).indices.tolist()
    assert torch.equal(pool[0]["x"], normal(N_POOL, 4, seed=N_POOL)[0])


class Odd(nn.Module):
    """Outputs that are constant up to rounding, not a number for one point, or of three dimensions."""

    def __init__(self, form: str, key: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head, self.form, self.key = nn.Linear(4, 6), nn.Linear(6, 2), form, key

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.body(x))
        z: Tensor = self.head(h)
        if self.form == "constant":
            return torch.cat([z, torch.softmax(10 * h, dim=1).sum(dim=1, keepdim=True)], dim=1)
        if self.form == "nan":
            return torch.where((x[:, :1] == self.key) & torch.tensor([False, True]), torch.nan, z)
        return z[:, :, None] if self.form == "three" else z


def test_outputs_without_a_spread() -> None:
    x, pool = normal(N_TRAIN, 4).float(), normal(N_POOL, 4, seed=1).float()
    plain = batch("lcmd-tp_ll[body]", Odd("plain"), x, pool).indices.tolist()
    assert batch("lcmd-tp_ll[body]", Odd("constant"), x, pool).indices.tolist() == plain
    with pytest.raises(BmdalError, match="outputs are NaN or infinite for row 5 of x_train, so they have no spread"):
        batch("lcmd-tp_ll[body]", Odd("nan", float(x[5, 0])), x, pool)
    alone = batch("lcmd-tp_ll[body]", Odd("plain"), x[:1], pool)
    assert "each in its own units, because one training point has no spread" in alone.notes[0]
    for output in (0, 1):
        chosen = batch("lcmd-tp_ll[body]", Odd("three"), x, pool, output=output)
        assert (
            chosen.indices.tolist() == batch("lcmd-tp_ll[body]", Odd("plain"), x, pool, output=output).indices.tolist()
        )
        as_numpy = batch("lcmd-tp_ll[body]", Odd("plain"), x, pool, output=np.int64(output))
        assert as_numpy.indices.tolist() == chosen.indices.tolist()


def test_names_that_other_libraries_use() -> None:
    """A network with `steps` is no pipeline; a data set with `columns` is no frame; labels may be a list."""
    net, x, pool = nn.Linear(4, 1).double(), normal(N_TRAIN, 4), normal(N_POOL, 4, seed=1)
    expected = batch("lcmd-tp_ll", net, x, pool).indices.tolist()
    net.steps = 3  # type: ignore[assignment]
    data = TensorDataset(pool)
    data.columns = None  # type: ignore[attr-defined]
    assert batch("lcmd-tp_ll", net, x, data).indices.tolist() == expected
    with pytest.raises(BmdalError, match="y_train must have one row for each of the 12 training points, it has 3"):
        select_batch("lcmd-tp_ll", net, x, [1.0, 2.0, 3.0], pool, 3, 0)  # type: ignore[arg-type]
    with pytest.raises(BmdalError, match=r"has 3 output\(s\) and y_train 1 target"):
        select_batch("lcmd-tp_ll", Heads("matrix"), x, [0.0] * N_TRAIN, pool, 3, 0)  # type: ignore[arg-type]


def test_half_precision() -> None:
    x, pool = normal(N_TRAIN, 4).bfloat16(), normal(N_POOL, 4, seed=1).bfloat16()
    assert (
        batch("lcmd-tp_ll", nn.Linear(4, 1).bfloat16(), x, torch.cat([x, pool])).notes[0].startswith("12 of the pool's")
    )
    select("lcmd-tp", pool, 5, 0, train=x)


# Other libraries: see examples/ for whole recipes.


def test_graphs() -> None:
    """Graphs of different sizes: exact gradients of single graphs, and the readout's factors."""
    geometric = pytest.importorskip("torch_geometric", reason="needs the extra recipes")
    nn_of_graphs = pytest.importorskip("torch_geometric.nn")
    loader = pytest.importorskip("torch_geometric.loader").DataLoader

    class OfGraphs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = nn_of_graphs.GCNConv(3, 6), nn_of_graphs.GCNConv(6, 6)
            self.head = nn.Linear(6, 1)
            self.double()

        def forward(self, b: Any) -> Tensor:
            h = torch.tanh(self.second(torch.tanh(self.first(b.x, b.edge_index)), b.edge_index))
            return self.head(nn_of_graphs.global_mean_pool(h, b.batch))  # type: ignore[no-any-return]

    def graphs(n: int, seed: int) -> list[Any]:
        rng = np.random.default_rng(seed)
        sizes = rng.integers(2, 7, n)
        return [
            geometric.data.Data(
                x=torch.from_numpy(rng.normal(size=(k, 3))),
                edge_index=torch.from_numpy(rng.integers(0, k, (2, 2 * k))),
                y=torch.tensor([torch.nan]),  # not known yet
                smiles="CCO",
            )
            for k in sizes
        ]

    net, train, pool = OfGraphs(), graphs(N_TRAIN, 0), graphs(N_POOL, 1)
    before = [g.x.clone() for g in pool]
    collate = loader(pool).collate_fn
    items = Items(pool, collate, whole=True)
    network = Network(net, items[:16], call=Call())
    G = rows_of_gradients(net, [collate([g]) for g in pool])
    features = Gradient().features(network, items)
    torch.testing.assert_close(features.kernel(features), G @ G.T)
    of_head = LastLayer().features(network, items)
    torch.testing.assert_close(of_head.kernel(of_head), G[:, -7:] @ G[:, -7:].T)
    for name in ("lcmd-tp_ll", "maxdist-tp_grad", "lcmd-tp_grad_rp-32"):
        by_loader = batch(name, net, loader(train), loader(pool, batch_size=8))
        by_list = batch(name, net, train, pool, collate_fn=collate, forward=lambda m, b: m(b))
        assert by_loader.indices.tolist() == by_list.indices.tolist()
        assert by_loader.notes == (
            "copies of points were not searched for, because the points are not a table in memory",
        )
    assert all(torch.equal(g.x, x) for g, x in zip(pool, before, strict=True))
