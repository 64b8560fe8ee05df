"""A right call of each operator, and what makes it wrong: (operator, argument, value, words of the error).

Below the Python checks, as torch.ops.drsl.* are called by whoever calls them directly. `CPU_ONLY`: a GPU
does not look at numbers, and its kernels have other ways to stay within bounds; or it has other operators,
`GPU_ONLY`.
"""

import torch

B, G, D, N = 4, 5, 3, 6
NAN, INF = float("nan"), float("inf")
# What match_digits takes of the arguments of match_tiles.
ON_A_GPU = ("x", "gallery", "by_identity", "begin", "end", "x_camera", "gallery_camera")


def rows(*shape, dtype=torch.float32):
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float64).sin().view(shape).to(dtype)


def integers(*values, dtype=torch.int64):
    return torch.tensor(values, dtype=dtype)


def right_call(operator):
    """Its arguments by name, new ones at each call."""
    selection = dict(
        labels=integers(0, 1, 0, 2),
        gallery_labels=integers(0, 1, 2, 0, 1),
        self_index=integers(-1, 0, 4, 2),
        exclude=torch.zeros(B, G, dtype=torch.bool),
        loss="drsl",
        params=[0.5, 1.0, 1.0, 1.0],
    )
    scores = dict(scores=rows(N), targets=integers(1, 0, 0, 1, 0, 0).float(), delta=0.5)
    retrieval = dict(
        x=rows(B, D),
        gallery=rows(G, D),
        x_norm2=rows(B, dtype=torch.float64).abs(),
        gallery_norm2=rows(G, dtype=torch.float64).abs(),
        first_equal=integers(0, 1, 2, 0, 1, dtype=torch.int32),
        by_identity=torch.arange(G, dtype=torch.int32),
        begin=integers(0, 0, 1, 5),
        end=integers(2, 5, 1, 5),
        x_camera=integers(0, 1, 0, 1),
        gallery_camera=integers(0, 1, 0, 1, 0),
        on_grid=False,
    )
    return {
        "pairwise": lambda: dict(x=rows(B, D), gallery=rows(G, D)),
        "rank_sort": lambda: dict(distance=rows(B, G).abs(), cosine=rows(B, G), **selection),
        "redistribute": lambda: dict(
            grad_distance=rows(B, G),
            grad_cosine=rows(B, G),
            distance=rows(B, G).abs(),
            cosine=rows(B, G),
            x=rows(B, D),
            gallery=rows(G, D),
        ),
        "embedding_loss": lambda: dict(
            x=rows(B, D),
            gallery=rows(G, D),
            **selection,
            row_weight=None,
            normalize=False,
            reduction=1,
            grad_x=True,
            grad_gallery=True,
        ),
        "rank_sort_loss": lambda: dict(**scores, grad=True),
        "ap_loss": lambda: dict(**scores, interpolated=False, grad=True),
        "alrp_loss": lambda: dict(**scores, regression_losses=rows(2), grad=True),
        "match_tiles": lambda: dict(
            x_operand=rows(B, D),
            gallery_operand=rows(G, D),
            **retrieval,
            scale=1.0,
            parts=2,
            height=2,
            width=3,
            limit=-1,
        ),
        "match_rows": lambda: dict(gram=rows(B, G, dtype=torch.float64), **retrieval),
        "squared_lengths": lambda: dict(rows=rows(B, D)),
        "fixed_point": lambda: dict(
            rows=rows(B, D), centre=rows(D, dtype=torch.float64), scale=1.0, mirrored=False
        ),
        "match_digits": lambda: dict(
            digits=torch.zeros(32, 48, dtype=torch.int8),
            columns=rows(32, 2).abs(),
            rows=rows(G, 6, dtype=torch.float64).abs(),
            most=torch.ones(6, dtype=torch.float64),
            centre=rows(D, dtype=torch.float64),
            **{name: retrieval[name] for name in ON_A_GPU},
            scale=1.0,
            width=16,
            slots=5,
            limit=5,
        ),
        "exact_distances": lambda: dict(x=rows(B, D), gallery=rows(G, D)),
    }[operator]()


def _everywhere():
    """What all operators that take rows, a selection, scores refuse in the same words."""
    for operator in ("pairwise", "redistribute", "embedding_loss"):
        yield operator, "x", rows(D), "x must be [B, D]"
        yield operator, "x", rows(1, 1, B, D), "x must be [B, D]"
        yield operator, "x", rows(), "x must be [B, D]"
        yield operator, "x", rows(B, 0), "at least one number"
        yield operator, "x", rows(2, B, D), "gallery must match x"
        yield operator, "x", rows(B, D + 1), "gallery must match x"
        yield operator, "gallery", rows(G, D + 1), "gallery must match x"
        yield operator, "gallery", rows(G), "gallery must match x"
        yield operator, "gallery", rows(1, G, D), "gallery must match x"
        yield operator, "gallery", rows(G, D).double(), "device and dtype"
        yield operator, "gallery", rows(G, D).to("meta"), "on one device"
        yield operator, "x", rows(B, D).to("meta"), "on one device"
    for operator in ("rank_sort", "embedding_loss"):
        for name, count in (("labels", B), ("gallery_labels", G), ("self_index", B)):
            wrong = torch.zeros(count + 1, dtype=torch.int64)
            yield operator, name, wrong, f"{name} must be [{count}]"
            yield operator, name, wrong[: count - 1], f"{name} must be [{count}]"
            yield operator, name, wrong[None, :count], f"{name} must be [{count}]"
            yield operator, name, torch.zeros(()).long(), f"{name} must be [{count}]"
            yield operator, name, torch.zeros(count), f"{name} must hold integers"
            yield (
                operator,
                name,
                torch.zeros(count, dtype=torch.uint64),
                f"{name} must hold integers",
            )
            yield operator, name, wrong[:count].to("meta"), "on one device"
        yield operator, "exclude", torch.zeros(B, G), "exclude must be"
        yield operator, "exclude", torch.zeros(G, B, dtype=torch.bool), "exclude must be"
        yield operator, "exclude", torch.zeros(B * G, dtype=torch.bool), "exclude must be"
        yield operator, "exclude", torch.zeros(B, G, dtype=torch.bool).to("meta"), "on one device"
        yield operator, "loss", "no_such_loss", "no loss 'no_such_loss'"
        yield operator, "loss", "", "no loss ''"
        yield operator, "params", [], "no loss 'drsl' with 0"
        yield operator, "params", [0.5, 1.0, 1.0, 1.0, 1.0], "no loss 'drsl' with 5"
        yield operator, "params", [-1.0, 1.0, 1.0, 1.0], "no loss 'drsl'"
        for place in range(4):
            for value in (NAN, INF, -INF):
                params = [0.5, 1.0, 1.0, 1.0]
                params[place] = value
                yield operator, "params", params, "no loss 'drsl'"
    for operator in ("rank_sort_loss", "ap_loss", "alrp_loss"):
        yield operator, "scores", rows(1, 1, N), "scores must be [N]"
        yield operator, "scores", rows(), "scores must be [N]"
        yield operator, "scores", rows(N + 1), "targets must have the shape"
        yield operator, "scores", rows(N).double(), "targets must have the shape"
        yield operator, "scores", rows(N).to("meta"), "on one device"
        yield operator, "targets", rows(N - 1), "targets must have the shape"
        yield operator, "targets", rows(1, N), "targets must have the shape"
        yield operator, "targets", torch.zeros(N).long(), "targets must have the shape"
        yield operator, "targets", rows(N).to("meta"), "on one device"
        for value in (-0.1, NAN, INF):
            yield operator, "delta", value, "delta must be finite"


WRONG = (
    *_everywhere(),
    ("pairwise", "x", torch.zeros(B, D).long(), "device and dtype"),
    ("embedding_loss", "gallery", None, "gallery and gallery_labels go together"),
    ("embedding_loss", "gallery_labels", None, "gallery and gallery_labels go together"),
    ("embedding_loss", "reduction", 3, "reduction must be 0, 1 or 2"),
    ("embedding_loss", "reduction", -1, "reduction must be 0, 1 or 2"),
    ("embedding_loss", "row_weight", rows(B - 1), "row_weight must be"),
    ("embedding_loss", "row_weight", rows(B).double(), "row_weight must be"),
    ("embedding_loss", "row_weight", rows(B).to("meta"), "on one device"),
    ("rank_sort", "gallery_labels", None, "gallery_labels are missing"),
    ("rank_sort", "distance", rows(G), "distance must be [B, G]"),
    ("rank_sort", "distance", rows(B, G + 1), "cosine must have the shape"),
    ("rank_sort", "distance", rows(B, G).half(), "distance must be float32 or float64"),
    ("rank_sort", "cosine", rows(G, B), "cosine must have the shape"),
    ("rank_sort", "cosine", rows(B, G).double(), "cosine must have the shape"),
    ("rank_sort", "cosine", rows(B, G).to("meta"), "on one device"),
    *(
        ("redistribute", name, value, words)
        for name in ("grad_distance", "grad_cosine", "cosine")
        for value, words in (
            (rows(G, B), f"{name} must have the shape"),
            (rows(1, B, G), f"{name} must have the shape"),
            (rows(B, G).double(), f"{name} must have the shape"),
            (rows(B, G).to("meta"), "on one device"),
        )
    ),
    ("redistribute", "distance", rows(G, B), "distance must be what pairwise gave"),
    ("redistribute", "distance", rows(B, G).double(), "distance must be what pairwise gave"),
    ("redistribute", "gallery", None, "distance must be what pairwise gave"),
    ("alrp_loss", "regression_losses", rows(1, 2), "regression_losses must be [n]"),
    ("alrp_loss", "regression_losses", rows(2).double(), "regression_losses must be [n]"),
    ("alrp_loss", "regression_losses", rows(2).to("meta"), "on one device"),
)

CPU_ONLY = (
    *(
        (operator, "self_index", integers(0, 1, 2, wrong), "self_index must lie in -1 .. 4")
        for operator in ("rank_sort", "embedding_loss")
        for wrong in (G, -2, 2**31, -(2**63), 2**63 - 1)
    ),
    ("alrp_loss", "regression_losses", rows(3), "regression_losses must have 2 numbers"),
    ("alrp_loss", "regression_losses", rows(0), "regression_losses must have 2 numbers"),
    *(
        (operator, *case)
        for operator in ("match_tiles", "match_rows")
        for case in (
            ("x", rows(B), "x must be [B, D]"),
            ("x", rows(B, 0), "at least one number"),
            ("x", rows(B, D).half(), "x must be float32 or float64"),
            ("x", rows(B, D).double(), "gallery does not fit"),
            ("x", rows(B + 1, D), "does not fit"),
            ("gallery", rows(G, D + 1), "gallery does not fit"),
            ("gallery", rows(G), "gallery [G, D]"),
            ("x_norm2", rows(B), "x_norm2 does not fit"),
            ("gallery_norm2", rows(B, dtype=torch.float64), "gallery_norm2 does not fit"),
            ("x_camera", None, "cameras: both or none"),
            ("gallery_camera", None, "cameras: both or none"),
            ("x_camera", integers(0), "x_camera does not fit"),
            ("gallery_camera", rows(G), "gallery_camera does not fit"),
            ("gallery", rows(G, D).to("meta"), "on one device"),
            ("first_equal", torch.arange(G), "first_equal does not fit"),
            *(
                (name, integers(0, 1, 2, 0, wrong, dtype=torch.int32), f"{name} must be")
                for name in ("first_equal", "by_identity")
                for wrong in (G, -1, 2**31 - 1, -(2**31))
            ),
            *(
                (name, integers(0, 1, 2, wrong), f"{name} must be in")
                for name in ("begin", "end")
                for wrong in (G + 1, -1, 2**63 - 1, -(2**63))
            ),
        )
    ),
    ("match_tiles", "x_operand", rows(B, D + 1), "x_operand does not fit"),
    ("match_tiles", "x_operand", rows(B, D).double(), "x_operand does not fit"),
    ("match_tiles", "gallery_operand", rows(B, D), "gallery_operand does not fit"),
    *(("match_tiles", "parts", wrong, "parts must be in") for wrong in (0, D + 1, -1, 2**62)),
    *(("match_tiles", name, 0, "must be at least 1") for name in ("height", "width")),
    # an entry of the tile, but behind the entry itself; and within a whole tile, but not in the last
    ("match_tiles", "first_equal", integers(0, 2, 2, 0, 1, dtype=torch.int32), "first_equal must"),
    ("match_tiles", "first_equal", integers(0, 1, 2, 0, 2, dtype=torch.int32), "first_equal must"),
    ("match_rows", "gram", rows(1, B, G, dtype=torch.float64), "gram does not fit"),
    ("match_rows", "gram", rows(B, G), "gram does not fit"),
    ("squared_lengths", "rows", rows(B), "rows must be [B, D]"),
    ("squared_lengths", "rows", rows(B, D).half(), "rows must be float32 or float64"),
)

GPU_ONLY = (
    *(
        (operator, name, value, words)
        for operator, name in (
            ("fixed_point", "rows"), ("squared_lengths", "rows"), ("match_digits", "x"),
            ("exact_distances", "x"),
        )
        for value, words in (
            (rows(B), f"{name} must be [B, D]"),
            (rows(1, B, D), f"{name} must be [B, D]"),
            (rows(B, 0), "at least one number"),
        )
    ),
    ("fixed_point", "rows", torch.ones(B, D).long(), "must be float16, bfloat16"),
    ("fixed_point", "rows", rows(B, D).to("meta"), "on one device"),
    ("fixed_point", "rows", torch.ones(1, 50_000), "at most 43680"),
    ("fixed_point", "centre", rows(D), "centre does not fit"),
    ("fixed_point", "centre", rows(D + 1, dtype=torch.float64), "centre does not fit"),
    *(
        (operator, "gallery", value, words)
        for operator in ("match_digits", "exact_distances")
        for value, words in (
            (rows(G, D + 1), "gallery does not fit"),
            (rows(G, D).double(), "gallery does not fit"),
            (rows(G), "gallery must be [G, D]"),
            (rows(G, D).to("meta"), "on one device"),
        )
    ),
    *(
        ("match_digits", name, value, f"{name} does not fit")
        for name, value in (
            ("digits", torch.zeros(32, 48)), ("digits", torch.zeros(16, 48, dtype=torch.int8)),
            ("digits", torch.zeros(32, 32, dtype=torch.int8)), ("columns", rows(31, 2)),
            ("columns", rows(32, 2).double()), ("rows", rows(G + 1, 6, dtype=torch.float64)),
            ("rows", rows(G, 6)), ("most", rows(5, dtype=torch.float64)),
            ("centre", rows(D + 1, dtype=torch.float64)), ("by_identity", torch.arange(G)),
            ("by_identity", torch.arange(G + 1, dtype=torch.int32)), ("begin", integers(0, 1)),
            ("end", rows(B)), ("x_camera", integers(0)), ("gallery_camera", rows(G)),
        )
    ),
    ("match_digits", "x_camera", None, "cameras: both or none"),
    ("match_digits", "gallery_camera", None, "cameras: both or none"),
    ("match_digits", "width", 0, "width must be at least 1"),
    ("match_digits", "slots", 0, "slots must be in 1 .. 2048"),
    ("match_digits", "slots", 2049, "slots must be in 1 .. 2048"),
    ("match_digits", "limit", -1, "limit must be at least 0"),
)  # fmt: skip


def identify(case):
    operator, name, value, _ = case
    if isinstance(value, torch.Tensor):
        kind = "x".join(map(str, value.shape)) or "0-dim"
        value = f"{kind}-{str(value.dtype)[6:]}" + "-meta" * value.is_meta
    return f"{operator}-{name}-{value}"
