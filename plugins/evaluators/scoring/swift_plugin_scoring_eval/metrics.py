"""Metrics of scoring models, in plain Python: of classes, of numbers, and of rankings."""

from __future__ import annotations

import math
from collections.abc import Sequence

Metrics = dict[str, float]
Classes = Sequence[set[int]]


def of_classes(wanted: Sequence[int], given: Sequence[int]) -> Metrics:
    """One class per text: accuracy, and F1 averaged over the classes that occur on either side."""
    right = sum(a == b for a, b in zip(wanted, given, strict=True))
    return {"accuracy": right / len(wanted), "F1": macro_f1([{a} for a in wanted], [{b} for b in given])}


def of_class_sets(wanted: Classes, given: Classes) -> Metrics:
    """Any number of classes per text: whole sets that are right, F1 over all decisions, F1 averaged over classes."""
    exact = sum(a == b for a, b in zip(wanted, given, strict=True)) / len(wanted)
    shared = sum(len(a & b) for a, b in zip(wanted, given, strict=True))
    said = sum(map(len, wanted)) + sum(map(len, given))
    return {"exact": exact, "micro F1": 2 * shared / said if said else 1.0, "macro F1": macro_f1(wanted, given)}


def macro_f1(wanted: Classes, given: Classes) -> float:
    """The mean over classes of 2·hits / (times wanted + times given); 1 where there is no class at all."""
    classes = sorted(set().union(*wanted, *given))
    each = []
    for c in classes:
        hits = sum(c in a and c in b for a, b in zip(wanted, given, strict=True))
        each.append(2 * hits / (sum(c in a for a in wanted) + sum(c in b for b in given)))
    return sum(each) / len(each) if each else 1.0


def of_numbers(wanted: Sequence[float], given: Sequence[float]) -> Metrics:
    """Mean squared error, and the correlations of values (Pearson) and of ranks (Spearman)."""
    error = sum((a - b) ** 2 for a, b in zip(wanted, given, strict=True)) / len(wanted)
    return {"MSE": error, "Pearson": pearson(wanted, given), "Spearman": pearson(ranks(wanted), ranks(given))}


def pearson(one: Sequence[float], other: Sequence[float]) -> float:
    """The correlation of two lists; 0 where one of them is constant."""
    mean, mean_other = sum(one) / len(one), sum(other) / len(other)
    apart, apart_other = [v - mean for v in one], [v - mean_other for v in other]
    spread = math.sqrt(sum(v * v for v in apart) * sum(v * v for v in apart_other))
    return sum(a * b for a, b in zip(apart, apart_other, strict=True)) / spread if spread > 1e-30 else 0.0


def ranks(values: Sequence[float]) -> list[float]:
    """The place of each value in ascending order, from 1; equal values share the mean of their places."""
    order = sorted(range(len(values)), key=values.__getitem__)
    places = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end + 1 < len(order) and values[order[end + 1]] == values[order[start]]:
            end += 1
        for place in order[start : end + 1]:
            places[place] = (start + end) / 2 + 1
        start = end + 1
    return places


def of_rankings(rankings: Sequence[Sequence[bool]]) -> Metrics:
    """Means over queries. A ranking says for each document, best first, whether it is relevant; one is at least.

    accuracy: the first is relevant. MRR: 1 / place of the first relevant one. MAP: the mean precision at relevant
    places. nDCG@10: Σ 1 / log₂(place + 1) over relevant ones among the first ten, against the best order.
    """
    each = [(float(r[0]), 1 / (1 + list(r).index(True)), average_precision(r), ndcg(r)) for r in rankings]
    names = ("accuracy", "MRR", "MAP", "nDCG@10")
    return {name: sum(values) / len(each) for name, values in zip(names, zip(*each, strict=True), strict=True)}


def recall(rankings: Sequence[Sequence[bool]], k: int) -> float:
    """The mean share of a query's relevant documents that stand among the first k."""
    return sum(sum(r[:k]) / sum(r) for r in rankings) / len(rankings)


def average_precision(ranking: Sequence[bool]) -> float:
    """The mean over relevant places of the share of relevant documents up to there."""
    hits = [place for place, relevant in enumerate(ranking, 1) if relevant]
    return sum(number / place for number, place in enumerate(hits, 1)) / len(hits)


def ndcg(ranking: Sequence[bool], k: int = 10) -> float:
    """Discounted gain of the first k, over that of all relevant documents first (Järvelin and Kekäläinen 2002)."""
    gain = sum(1 / math.log2(place + 1) for place, relevant in enumerate(ranking[:k], 1) if relevant)
    best = sum(1 / math.log2(place + 1) for place in range(1, min(k, sum(ranking)) + 1))
    return gain / best
