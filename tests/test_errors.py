"""Every bad argument: the exact exception, and a message with the name, what was wanted, what came."""

import re

import pytest
import torch

import drsl_cuda
from drsl_cuda import functional

B, G, D = 6, 9, 4


def good():
    return {
        "embeddings": torch.randn(B, D),
        "labels": torch.arange(B) % 2,
        "gallery": torch.randn(G, D),
        "gallery_labels": torch.arange(G) % 2,
        "self_index": torch.full((B,), -1),
        "exclude": torch.zeros(B, G, dtype=torch.bool),
    }


# name: (replaced arguments, exception, words that the message must hold)
BAD_TENSORS = {
    "list": ({"embeddings": [[1.0]]}, TypeError, ["embeddings", "tensor", "list"]),
    "array": ({"embeddings": torch.randn(B, D).numpy()}, TypeError, ["embeddings", "ndarray"]),
    "integers": (
        {"embeddings": torch.ones(B, D, dtype=torch.int64)}, TypeError, ["embeddings", "float32", "int64"],
    ),
    "complex": (
        {"embeddings": torch.ones(B, D, dtype=torch.complex64)}, TypeError, ["embeddings", "complex64"],
    ),
    "one_axis": ({"embeddings": torch.randn(D)}, ValueError, ["embeddings", "[B, D]", "[4]"]),
    "four_axes": (
        {"embeddings": torch.randn(1, 1, B, D)}, ValueError, ["embeddings", "[S, B, D]", "[1, 1, 6, 4]"],
    ),
    "no_columns": (
        {"embeddings": torch.randn(B, 0), "gallery": torch.randn(G, 0)}, ValueError, ["embeddings", "[6, 0]"],
    ),
    "sparse": (
        {"embeddings": torch.eye(B).to_sparse()}, TypeError, ["embeddings", "dense", "sparse"],
    ),
    "nested": (
        {"embeddings": torch.nested.nested_tensor([torch.eye(B)[:, :D]])}, TypeError,
        ["embeddings", "dense", "nested"],
    ),
    "labels_list": ({"labels": [0] * B}, TypeError, ["labels", "tensor", "list"]),
    "labels_float": ({"labels": torch.zeros(B)}, TypeError, ["labels", "integers", "float32"]),
    "labels_bool": (
        {"labels": torch.zeros(B, dtype=torch.bool)}, TypeError, ["labels", "integers", "bool"],
    ),
    "labels_short": (
        {"labels": torch.zeros(B - 1, dtype=torch.int64)}, ValueError, ["labels", "[B]", "[6]", "[5]"],
    ),
    "labels_2d": (
        {"labels": torch.zeros(B, 1, dtype=torch.int64)}, ValueError, ["labels", "[6]", "[6, 1]"],
    ),
    "labels_none": ({"labels": None}, TypeError, ["labels", "tensor", "NoneType"]),
    "gallery_list": ({"gallery": [1.0]}, TypeError, ["gallery", "tensor", "list"]),
    "gallery_integers": (
        {"gallery": torch.ones(G, D, dtype=torch.int32)}, TypeError, ["gallery", "int32"],
    ),
    "gallery_columns": (
        {"gallery": torch.randn(G, D + 1)}, ValueError, ["gallery", "[G, 4]", "[9, 5]"],
    ),
    "gallery_axes": (
        {"gallery": torch.randn(1, G, D)}, ValueError, ["gallery", "[G, 4]", "[1, 9, 4]"],
    ),
    "gallery_unlabelled": (
        {"gallery_labels": None}, ValueError, ["gallery_labels", "gallery", "None"],
    ),
    "labels_of_no_gallery": ({"gallery": None}, ValueError, ["gallery", "gallery_labels", "None"]),
    "gallery_labels_long": (
        {"gallery_labels": torch.zeros(G + 1, dtype=torch.int64)},
        ValueError, ["gallery_labels", "[9]", "[10]"],
    ),
    "gallery_labels_float": (
        {"gallery_labels": torch.zeros(G)}, TypeError, ["gallery_labels", "float32"],
    ),
    "self_index_float": (
        {"self_index": torch.zeros(B)}, TypeError, ["self_index", "integers", "float32"],
    ),
    "self_index_int": ({"self_index": 3}, TypeError, ["self_index", "tensor", "int"]),
    "self_index_short": (
        {"self_index": torch.zeros(2, dtype=torch.int64)}, ValueError, ["self_index", "[6]", "[2]"],
    ),
    "self_index_beyond": (
        {"self_index": torch.full((B,), G)}, ValueError, ["self_index", "8", "got 9"],
    ),
    "self_index_below": (
        {"self_index": torch.tensor([0, 1, 2, 3, 4, -2])}, ValueError, ["self_index", "-1", "got -2"],
    ),
    "exclude_int": (
        {"exclude": torch.zeros(B, G, dtype=torch.int64)}, TypeError, ["exclude", "bool", "int64"],
    ),
    "exclude_list": ({"exclude": [[False]]}, TypeError, ["exclude", "bool", "list"]),
    "exclude_transposed": (
        {"exclude": torch.zeros(G, B, dtype=torch.bool)}, ValueError, ["exclude", "[6, 9]", "[9, 6]"],
    ),
    "exclude_with_sets": (
        {"exclude": torch.zeros(1, B, G, dtype=torch.bool)}, ValueError, ["exclude", "[6, 9]", "[1, 6, 9]"],
    ),
    "meta_gallery": (
        {"gallery": torch.randn(G, D, device="meta")}, ValueError, ["gallery", "cpu", "meta"],
    ),
    "meta_labels": (
        {"labels": torch.zeros(B, dtype=torch.int64, device="meta")}, ValueError, ["labels", "cpu", "meta"],
    ),
    "meta_exclude": (
        {"exclude": torch.zeros(B, G, dtype=torch.bool, device="meta")},
        ValueError, ["exclude", "cpu", "meta"],
    ),
}  # fmt: skip

BAD_SETTINGS = {
    "delta_negative": ({"delta": -0.1}, ValueError, ["delta", ">= 0", "-0.1"]),
    "delta_nan": ({"delta": float("nan")}, ValueError, ["delta", "finite", "nan"]),
    "delta_inf": ({"delta": float("inf")}, ValueError, ["delta", "finite", "inf"]),
    "delta_text": ({"delta": "0.5"}, TypeError, ["delta", "number", "str"]),
    "delta_none": ({"delta": None}, TypeError, ["delta", "number", "None"]),
    "rank_weight_nan": (
        {"rank_weight": float("nan")},
        ValueError,
        ["rank_weight", "finite", "nan"],
    ),
    "sort_weight_inf": (
        {"sort_weight": float("inf")},
        ValueError,
        ["sort_weight", "finite", "inf"],
    ),
    "angle_weight_text": ({"angle_weight": "1"}, TypeError, ["angle_weight", "number", "str"]),
    "reduction_unknown": (
        {"reduction": "avg"},
        ValueError,
        ["reduction", "'mean'", "'sum'", "'none'", "avg"],
    ),
    "reduction_none": ({"reduction": None}, TypeError, ["reduction", "'none'", "NoneType"]),
    "backend_unknown": (
        {"backend": "cuda"},
        ValueError,
        ["backend", "'auto'", "'native'", "'reference'", "cuda"],
    ),
    "normalize_number": ({"normalize": 1}, TypeError, ["normalize", "True or False", "int"]),
}


def assert_says(info, exception, words):
    assert info.type is exception
    message = str(info.value)
    missing = [word for word in words if word not in message]
    assert not missing, f"{missing} not in: {message}"
    assert not re.search(r"drsl::|csrc|Expected|INTERNAL", message), message


@pytest.mark.parametrize("name", BAD_TENSORS)
@pytest.mark.parametrize("backend", ["auto", "native", "reference"])
def test_a_bad_tensor_is_named(name, backend):
    replaced, exception, words = BAD_TENSORS[name]
    with pytest.raises(exception) as info:
        functional.drsl_loss(**good() | replaced, backend=backend)
    assert_says(info, exception, words)


@pytest.mark.parametrize("name", BAD_TENSORS)
def test_the_module_and_the_reference_package_name_it_too(name):
    replaced, exception, words = BAD_TENSORS[name]
    for function in (drsl_cuda.DRSLLoss(), drsl_cuda.reference.drsl_loss):
        with pytest.raises(exception) as info:
            function(**good() | replaced)
        assert_says(info, exception, words)


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_a_bad_setting_is_named_when_the_module_is_made_and_when_the_function_is_called(name):
    replaced, exception, words = BAD_SETTINGS[name]
    with pytest.raises(exception) as info:
        drsl_cuda.DRSLLoss(**replaced)
    assert_says(info, exception, words)
    with pytest.raises(exception) as info:
        functional.drsl_loss(**good(), **replaced)
    assert_says(info, exception, words)


def test_sets_must_agree_between_embeddings_and_gallery():
    given = good() | {"embeddings": torch.randn(2, B, D), "gallery": torch.randn(3, G, D)}
    with pytest.raises(ValueError) as info:
        functional.drsl_loss(**given)
    assert_says(info, ValueError, ["gallery", "[2, G, 4]", "[3, 9, 4]"])


@pytest.mark.parametrize("backend", ["native", "reference"])
def test_return_terms_must_be_a_flag(backend):
    with pytest.raises(TypeError) as info:
        functional.drsl_loss(**good(), return_terms="yes", backend=backend)
    assert_says(info, TypeError, ["return_terms", "True or False", "str"])


@pytest.mark.parametrize(
    "x, r, exception, words",
    [
        ([[1.0]], None, TypeError, ["x", "tensor", "list"]),
        (torch.randn(3), None, ValueError, ["x", "[B, D]", "[3]"]),
        (torch.ones(3, 2, dtype=torch.int64), None, TypeError, ["x", "int64"]),
        (torch.randn(3, 2), torch.randn(3, 4), ValueError, ["r", "[G, 2]", "[3, 4]"]),
        (torch.randn(3, 2), "r", TypeError, ["r", "tensor", "str"]),
    ],
    ids=["list", "one_axis", "integers", "columns", "text"],
)
@pytest.mark.parametrize("package", ["functional", "reference"])
def test_pairwise_names_its_bad_argument(package, x, r, exception, words):
    with pytest.raises(exception) as info:
        getattr(drsl_cuda, package).pairwise_distance_angle(x, r)
    assert_says(info, exception, words)


@pytest.mark.parametrize(
    "kind", [torch.int8, torch.int16, torch.uint8, torch.int32, torch.int64], ids=str
)
@pytest.mark.parametrize("backend", ["native", "reference"])
def test_every_integer_type_of_label_is_accepted_and_means_the_same(kind, backend):
    given = good()
    wanted = functional.drsl_loss(**given, backend=backend)
    changed = {name: given[name].to(kind) for name in ("labels", "gallery_labels")}
    assert torch.equal(functional.drsl_loss(**given | changed, backend=backend), wanted)
    # One of the two only: labels of different types are compared by value.
    mixed = {"labels": given["labels"].to(kind)}
    assert torch.equal(functional.drsl_loss(**given | mixed, backend=backend), wanted)
