"""Text metrics against hand-worked values and against the packages of the field."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from swift_core.evaluation.metrics import (
    bleu,
    bleu_tokenizer,
    exact_match,
    longest_common_subsequence,
    rouge_l,
    rouge_n,
    tokens,
)

WORDS = st.lists(st.sampled_from("a b c d e".split()), max_size=9)

PAIRS = [
    ("the cat sat on the mat", "the cat is on the mat"),
    ("the cat sat on the mat", "On the mat, the cat sat!"),
    ("police killed the gunman", "the gunman killed police"),
    ("a b c d e f", ""),
    ("one two two three", "two two two"),
    ("It's 3.14, isn't it?", "it is 3 14"),
]


def test_tokens_are_words_and_characters_of_scripts_without_spaces():
    assert tokens("The CAT, 3.5-kg!") == ["the", "cat", "3", "5", "kg"]
    assert tokens("今天天气好,I am ok。") == ["今", "天", "天", "气", "好", "i", "am", "ok"]
    assert tokens("ねこ cat") == ["ね", "こ", "cat"]
    assert tokens("안녕 세계") == ["안녕", "세계"]
    assert tokens("naïve नमस्ते") == ["naïve", "नमस्ते"]
    assert tokens(" ,.!") == []


def test_rouge_by_hand():
    # 5 of 6 words shared; bigrams "the cat", "on the", "the mat" of 5 and 5; subsequence the cat on the mat
    assert rouge_n(*PAIRS[0], 1) == pytest.approx(5 / 6)
    assert rouge_n(*PAIRS[0], 2) == pytest.approx(3 / 5)
    assert rouge_l(*PAIRS[0]) == pytest.approx(5 / 6)
    # Lin (2004): the same words in another order share only "the gunman"
    assert rouge_l(*PAIRS[2]) == pytest.approx(2 / 4)
    # Chinese: 3 of 4 and 3 of 5 characters; 2PR/(P+R) = 2·3/(4+5)
    assert rouge_n("今天很好", "今天不太好", 1) == pytest.approx(6 / 9)
    assert rouge_l("今天很好", "今天不太好") == pytest.approx(6 / 9)


def test_rouge_of_nothing_is_zero():
    assert rouge_n("a", "", 1) == rouge_l("", "a") == rouge_n("", "", 2) == 0.0


def test_rouge_equals_the_package_on_ascii_text():
    program = textwrap.dedent(f"""
        import sys
        sys.modules.update({{"sklearn": None, "scipy": None}})  # nltk would load them, for nothing
        from rouge_score.rouge_scorer import RougeScorer
        from swift_core.evaluation.metrics import rouge_l, rouge_n
        scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
        for reference, answer in {PAIRS!r}:
            theirs = {{k: v.fmeasure for k, v in scorer.score(reference, answer).items()}}
            ours = {{"rouge1": rouge_n(reference, answer, 1), "rouge2": rouge_n(reference, answer, 2),
                     "rougeL": rouge_l(reference, answer)}}
            assert all(abs(ours[k] - theirs[k]) < 1e-9 for k in ours), (reference, answer, ours, theirs)
        print("equal")
    """)
    pytest.importorskip("rouge_score", reason="rouge-score is not installed (make setup brings it)")
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "equal", done.stderr


@given(WORDS, WORDS)
def test_longest_common_subsequence_equals_the_plain_table(one, other):
    table = [[0] * (len(other) + 1) for _ in range(len(one) + 1)]
    for i, a in enumerate(one):
        for j, b in enumerate(other):
            table[i + 1][j + 1] = table[i][j] + 1 if a == b else max(table[i][j + 1], table[i + 1][j])
    assert longest_common_subsequence(one, other) == table[-1][-1]


def test_bleu_is_sacrebleus():
    from sacrebleu import corpus_bleu

    references, answers = [p[0] for p in PAIRS], [p[1] for p in PAIRS]
    score, signature = bleu(references, answers)
    assert score == pytest.approx(corpus_bleu(answers, [references]).score / 100)
    assert 0 < score < 1
    assert "tok:13a" in signature
    chinese = ["今天天气很好,我们去公园吧。"], ["今天天气很好,我们去学校吧。"]
    assert bleu(*chinese)[0] == pytest.approx(corpus_bleu(chinese[1], [chinese[0]], tokenize="zh").score / 100)
    assert bleu(*chinese)[0] > 0.4


def test_bleu_of_right_short_answers_is_one_not_zero():
    assert bleu(["seven", "forty two"], ["seven", "forty two"])[0] == pytest.approx(1)
    assert bleu(["seven"], ["eight"])[0] == 0


def test_bleu_tokenizer_follows_the_script():
    assert [bleu_tokenizer([text]) for text in ("plain", "天气", "ねこ", "แมว")] == ["13a", "zh", "char", "char"]


def test_exact_match_ignores_white_space_at_the_ends_alone():
    assert exact_match("a b", " a b\n") == 1
    assert exact_match("a b", "a  b") == 0
    assert exact_match("A", "a") == 0
