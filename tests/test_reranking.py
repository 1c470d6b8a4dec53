"""Re-ranking: lists and their translations, MRR@10 against trec_eval, and a small cross-encoder that learns."""

import json

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from hybridkit import cli, cross_encoders, encoders, reranking
from hybridkit.codeswitch import Switching
from hybridkit.corpora import museum, parallel, xquad_r
from hybridkit.corpora.benchmark import make_benchmark
from hybridkit.corpora.pairs import make_pairs
from hybridkit.errors import KitError
from hybridkit.params import Parameters
from hybridkit.reranking import MIXED, Setting
from hybridkit.sampling import BatchPlan

CODES = ("de", "en", "es")


def parallel_benchmark(passages=12, codes=CODES, ids="{code}:{number}", shift=0, name="made-up"):
    """A question a passage, both in every language: passage 7 is "w7" in English and "de7" in German.

    `shift` numbers the passages otherwise in every language but English.
    """
    rows = [(code, number) for code in codes for number in range(passages)]

    def names(code, number):
        return ids.format(code=code, number=number + (shift if code != "en" else 0))

    return make_benchmark(
        name=name,
        licence="made up",
        query_ids=[f"{code}:{number}" for code, number in rows],
        query_texts=[f"find {word(code, number)}" for code, number in rows],
        query_languages=[code for code, _ in rows],
        questions=[str(number) for _, number in rows],
        candidate_ids=[names(code, number) for code, number in rows],
        candidate_texts=[f"{word(code, number)} is here" for code, number in rows],
        candidate_languages=[code for code, _ in rows],
        relevance=[(f"{a}:{number}", names(code, number)) for a, number in rows for code in codes],
    )


def word(code, number):
    return f"w{number}" if code == "en" else f"{code}{number}"


def chance(benchmark, seed=0):
    """A first stage that knows nothing: candidates in random order."""
    random = np.random.default_rng(seed)

    def search(queries, candidates, top):
        for _ in queries:
            yield random.permutation(candidates)[:top], np.arange(top, 0, -1, dtype=np.float32)[: len(candidates)]

    return search


def of(text, benchmark):
    return reranking.parse_settings(text, benchmark)


def number_of(benchmark, row):
    return int(benchmark.candidate_ids[row].split(":")[1])


# Which candidates are one passage


def test_versions_by_id():
    made = parallel_benchmark()
    found = parallel.passages(made, "en", ["de", "es"])
    assert found.names == [f"en:{number}" for number in range(12)]
    for passage in range(12):
        assert [made.candidate_ids[row] for row in found.version(passage, "es")] == [f"es:{passage}"]
        assert found.version(passage, "en").tolist() == [found.rows[passage]]


@pytest.mark.parametrize("changes", [{"ids": "{number}/{code}"}, {"shift": 3}])
def test_versions_by_relevance_where_ids_do_not_tell(changes):
    """Ids of another form, and ids that number the passages otherwise in each language."""
    made = parallel_benchmark(**changes)
    found = parallel.passages(made, "en", ["de"])
    for passage, row in enumerate(found.rows):
        (version,) = found.version(passage, "de")
        number = made.candidate_texts[row].split()[0].removeprefix("w")
        assert made.candidate_texts[version] == f"de{number} is here"


def test_sentence_that_is_two_in_another_language():
    """English answers both questions in one sentence, German in two; es has no answer to the third question."""
    made = make_benchmark(
        name="cut otherwise", licence="made up",
        query_ids=["q1", "q2", "q3"], query_texts=["a", "b", "c"], query_languages=["en"] * 3, questions=["1", "2", "3"],
        candidate_ids=["en:0", "en:1", "de:0", "de:1", "de:2", "es:0", "de:3"],
        candidate_texts=["both", "third", "eins", "zwei", "drei", "los dos", "keins"],
        candidate_languages=["en", "en", "de", "de", "de", "es", "de"],
        relevance=[
            ("q1", "en:0"), ("q2", "en:0"), ("q3", "en:1"), ("q1", "de:0"), ("q2", "de:1"), ("q3", "de:2"),
            ("q1", "es:0"), ("q2", "es:0"),
        ],
    )  # fmt: skip
    found = parallel.passages(made, "en", ["de"])
    assert [found.version(p, "de").tolist() for p in range(2)] == [[2, 3], [4]]
    both = parallel.passages(made, "en", ["de", "es"])
    assert both.names == ["en:0"] and both.version(0, "de").tolist() == [2, 3]
    merged = parallel.passages(made, "de", ["en"])  # two sentences whose version is the same one
    assert [merged.version(p, "en").tolist() for p in range(3)] == [[0], [0], [1]]
    within, across, third = reranking.candidate_lists(
        made,
        of("en-en,en-de,en-es", made),
        lambda queries, candidates, top: ((candidates, 9 - candidates) for _ in queries),
    )
    assert within.candidates.tolist() == [0] * 2 and within.queries.tolist() == [0, 1]
    assert across.candidates.tolist() == [2, 3] * 2 and across.scores.tolist() == [9, 9] * 2
    assert across.relevant.tolist() == [True, False, False, True]
    assert third.candidates.tolist() == [5] * 2
    put = reranking._translated((np.array([4, 2, 3]), np.array([3.0, 2.0, 1.0])), dict(zip([2, 3, 4], ([0], [0], [1]))))
    assert [part.tolist() for part in put] == [[1, 0], [3.0, 2.0]]


def test_versions_that_cannot_be_told():
    made = parallel_benchmark(ids="{number}/{code}")
    golds = [(made.query_ids[q], made.candidate_ids[c]) for q, c in zip(made.gold_query, made.gold_candidate)]
    sides = (made.query_ids, made.query_texts, made.query_languages.tolist())
    sides += (made.candidate_ids, made.candidate_texts, made.candidate_languages.tolist())
    several = make_benchmark("several", "made up", *sides, [*golds, ("en:0", "1/en")], questions=made.questions)
    with pytest.raises(KitError, match="several relevant ones in en"):
        parallel.passages(several, "en", ["de"])
    with pytest.raises(KitError, match="no candidates in 'th'"):
        parallel.passages(made, "en", ["th"])


def test_museum_has_the_same_versions_by_id_and_by_relevance(monkeypatch):
    data = museum.benchmark(20, ("en", "hi", "th"))
    by_id = parallel.passages(data, "en", ["hi", "th"])
    monkeypatch.setattr(parallel, "_names", lambda benchmark: None)
    by_relevance = parallel.passages(data, "en", ["hi", "th"])
    assert by_id.names == by_relevance.names and len(by_id.names) == 120
    for code in ("en", "hi", "th"):
        for one, other in zip(by_id.versions[code], by_relevance.versions[code]):
            assert np.array_equal(one, other)


# Lists


def test_lists_are_the_same_passages_in_every_setting():
    made = parallel_benchmark()
    asked = "en-en,de-de,de-en,en-es,mixed-en,en-mixed,mixed-mixed"
    found = reranking.candidate_lists(made, of(asked, made), chance(made), top=5)
    passages = [[number_of(made, row) for row in lists.candidates] for lists in found]
    assert all(one == passages[0] for one in passages) and len(passages[0]) == 12 * 5
    for lists in found:
        assert (np.diff(lists.starts) == 5).all() and len(lists.queries) == 12
        if lists.setting.passage != MIXED:
            assert set(made.candidate_languages[lists.candidates]) == {lists.setting.passage}
        asks = np.repeat([int(made.questions[row]) for row in lists.queries], 5)
        assert lists.relevant.tolist() == (asks == np.array(passages[0])).tolist()
        assert np.array_equal(lists.scores, found[0].scores)


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), top=st.integers(1, 12))
def test_mixed_lists_have_every_query_and_passage_in_one_language(seed, top):
    made = parallel_benchmark()
    first, again = (
        reranking.candidate_lists(made, of("en-mixed,mixed-mixed", made), chance(made), top=top, seed=seed)
        for _ in range(2)
    )
    languages = {}
    for lists in first:
        for row in lists.candidates.tolist():
            languages.setdefault(number_of(made, row), set()).add(str(made.candidate_languages[row]))
    assert all(len(codes) == 1 for codes in languages.values())
    asked = [made.questions[row] for row in first[1].queries]
    assert sorted(asked) == sorted(set(made.questions))
    for one, other in zip(first, again):
        assert np.array_equal(one.queries, other.queries) and np.array_equal(one.candidates, other.candidates)


def test_mixed_languages_are_drawn_uniformly_and_apart_for_queries_and_passages():
    made = parallel_benchmark(passages=600)
    (lists,) = reranking.candidate_lists(made, of("mixed-mixed", made), chance(made), top=600, questions=300)
    assert len(lists.queries) == 300
    asked = made.query_languages[lists.queries]
    passages = made.candidate_languages[np.unique(lists.candidates)]
    for codes, size in ((asked, 300), (passages, 600)):
        shares = [np.mean(codes == code) for code in CODES]
        assert np.allclose(shares, 1 / 3, atol=4 * np.sqrt(2 / 9 / size))
    own = dict(zip((made.questions[row] for row in lists.queries), asked))
    candidates = {number_of(made, row): made.candidate_languages[row] for row in lists.candidates}
    same = np.mean([candidates[int(question)] == code for question, code in own.items()])
    assert abs(same - 1 / 3) < 4 * np.sqrt(2 / 9 / 300)
    other = reranking.candidate_lists(made, of("mixed-mixed", made), chance(made), languages=["de", "es"])[0]
    assert set(made.candidate_languages[other.candidates]) == {"de", "es"} == set(made.query_languages[other.queries])


def test_lists_that_each_setting_finds_itself():
    made = parallel_benchmark()
    within, across, mixed = reranking.candidate_lists(
        made, of("de-de,de-en,mixed-mixed", made), reranking.bm25(made), top=3, source=""
    )
    assert len(within.candidates) == 12 and within.relevant.all() and set(within.candidates) == set(within.queries)
    assert len(across.candidates) == 0 and len(across.queries) == 12  # the two languages share no word
    assert 0 < len(mixed.candidates) < 12 and mixed.relevant.all()
    table = reranking.evaluate(made, [within, across], lambda pairs: np.ones(len(pairs)))
    assert table["recall"].tolist() == [1, 0] and table["re-ranked MRR@10"].tolist() == [1, 0]
    assert table["setting"].tolist() == ["monolingual", "cross-lingual"]


def without(made, left_out, pool=CODES):
    """The benchmark without the queries of whose language and question `left_out` holds, and candidates in `pool`."""
    keep = [i for i, one in enumerate(zip(made.query_languages, made.questions)) if not left_out(*one)]
    there = [i for i, code in enumerate(made.candidate_languages) if code in pool]
    ids, candidates = [made.query_ids[i] for i in keep], [made.candidate_ids[i] for i in there]
    golds = [(made.query_ids[q], made.candidate_ids[c]) for q, c in zip(made.gold_query, made.gold_candidate)]
    return make_benchmark(
        "fewer", "made up", ids, [made.query_texts[i] for i in keep], [str(made.query_languages[i]) for i in keep],
        candidates, [made.candidate_texts[i] for i in there], [str(made.candidate_languages[i]) for i in there],
        [pair for pair in golds if pair[0] in ids and pair[1] in candidates], questions=[made.questions[i] for i in keep],
    )  # fmt: skip


def test_a_question_that_is_not_asked_in_the_source_has_no_list_and_does_not_count():
    made = without(parallel_benchmark(), lambda code, question: code == "en" and int(question) >= 5)
    asked = of("en-en,de-de,mixed-mixed", made)
    found = reranking.candidate_lists(made, asked, reranking.bm25(made), top=3)
    assert [len(lists.queries) for lists in found] == [5] * 3
    assert reranking.evaluate(made, found, lambda pairs: np.ones(len(pairs)))["recall"].tolist() == [1] * 3
    own = reranking.candidate_lists(made, asked[:2], reranking.bm25(made), top=3, source="")
    assert [len(lists.queries) for lists in own] == [5, 12]
    made = without(made, lambda code, question: code == "en")
    with pytest.raises(KitError, match=r"no questions in 'en', in which .* has both \(de es\), or let"):
        reranking.candidate_lists(made, asked[1:], reranking.bm25(made))


def test_first_stage_of_a_dense_model_finds_the_nearest():
    made = parallel_benchmark()
    random = np.random.default_rng(0)
    vectors = {text: random.normal(size=8) for text in [*made.query_texts, *made.candidate_texts]}

    class Model:
        def encode_query(self, texts, **_):
            return np.array([vectors[text] / np.linalg.norm(vectors[text]) for text in texts])

        encode_document = encode_query

    rows, pool = np.array([3, 30, 14]), np.array([2, 5, 20, 30, 33])
    for row, (found, scores) in zip(rows, reranking.dense(made, Model())(rows, pool, 3), strict=True):
        expected = [
            (Model().encode_query([made.query_texts[row]]) @ Model().encode_query([made.candidate_texts[c]]).T).item()
            for c in pool
        ]
        order = np.argsort(expected)[::-1][:3]
        assert found.tolist() == pool[order].tolist()
        assert np.allclose(scores, np.array(expected)[order], atol=1e-6)


def test_first_stage_from_a_run_file(tmp_path):
    made = parallel_benchmark()
    path = tmp_path / "others.run"
    lines = ["en:0 Q0 en:5 1 0.5 x", "en:0 Q0 en:0 2 0.9 x", "en:0 Q0 de:0 3 8 x", "en:0 Q0 en:7 4 0.5 x"]
    path.write_text("\n".join([*lines, "en:1 Q0 en:1 1 -3e2 x"]) + "\n")
    within, across = reranking.candidate_lists(made, of("en-en,de-es", made), reranking.from_run(path, made), top=3)
    first, second = within.queries.tolist().index(12), within.queries.tolist().index(13)
    for lists, code in ((within, "en"), (across, "es")):
        assert lists.starts[-1] == 4 and len(lists.queries) == 12
        part = slice(lists.starts[first], lists.starts[first + 1])
        assert [made.candidate_ids[row] for row in lists.candidates[part]] == [f"{code}:{n}" for n in (0, 5, 7)]
        assert lists.scores[part].tolist() == [0.9, 0.5, 0.5]
        assert np.flatnonzero(reranking.reciprocal_ranks(lists, lists.scores)).tolist() == sorted([first, second])
    twice = "en:0 Q0 en:5 4 0.1 x"
    for wrong in ("en:0 Q0 en:99 1 0.5 x", "en:0 en:5 0.5", "en:0 Q0 en:6 1 high x", "en:0 Q0 en:6 1 nan x", twice):
        path.write_text("\n".join([*lines, wrong]))
        with pytest.raises(KitError, match="others.run, line 5: .* is no line of a run of made-up"):
            reranking.from_run(path, made)


def test_settings_of_the_paper_and_faults():
    made = parallel_benchmark(codes=("de", "en", "ru"))
    names = ["-".join(one) for one in of("paper", made)]
    assert names == "en-en de-de ru-ru en-de en-ru de-ru mixed-en en-mixed mixed-mixed".split()
    assert [one.kind for one in (Setting("en", "en"), Setting("en", "de"), Setting("en", MIXED))] == list(
        reranking.KINDS
    )
    for wrong in ("en-fr", "de", "mixed", "en-en,", "en-de-ru"):
        with pytest.raises(KitError, match="query language, hyphen, passage language"):
            of(wrong, made)
    with pytest.raises(KitError, match="no 'fr' for mixed lists"):
        reranking.candidate_lists(made, of("mixed-en", made), chance(made), languages=["fr"])
    english = without(made, lambda code, question: False, pool=["en"])
    with pytest.raises(KitError, match="no candidates in de for mixed lists: choose of en"):
        reranking.candidate_lists(english, of("en-mixed", english), chance(english), languages=["de"])


# MRR@10


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), top=st.integers(1, 40))
def test_mrr_agrees_with_trec_eval(seed, top):
    """Scores in random order without ties; some lists lack the relevant passage."""
    import pytrec_eval

    made = parallel_benchmark(passages=40)
    (lists,) = reranking.candidate_lists(made, of("de-es", made), chance(made, seed), top=top)
    scores = np.random.default_rng(seed).permutation(len(lists.candidates)).astype(np.float32)
    run, relevance = {}, {}
    for number, query in enumerate(lists.queries.tolist()):
        part = slice(lists.starts[number], lists.starts[number + 1])
        run[str(query)] = {str(c): float(s) for c, s in zip(lists.candidates[part], scores[part])}
        golds = made.gold_candidate[made.gold_query == query]
        relevance[str(query)] = {str(c): 1 for c in golds if made.candidate_languages[c] == "es"}
    found = pytrec_eval.RelevanceEvaluator(relevance, {"recip_rank"}).evaluate(run)
    expected = np.array([found[str(query)]["recip_rank"] for query in lists.queries])
    expected[expected < 1 / 10] = 0
    assert np.allclose(reranking.reciprocal_ranks(lists, scores), expected, atol=1e-7)


def test_perfect_constant_and_reversed_scores():
    made = parallel_benchmark(passages=19)
    (lists,) = reranking.candidate_lists(made, of("en-de", made), chance(made), top=19)

    def perfect(pairs):
        return np.array([query.removeprefix("find w") == passage.split()[0][2:] for query, passage in pairs], float)

    (row,) = reranking.evaluate(made, [lists], perfect).to_dict("records")
    assert row["re-ranked MRR@10"] == row["recall"] == 1 and row["candidates"] == 19 and row["queries"] == 19
    assert 0 < row["first stage MRR@10"] < 0.5
    # Nineteen equal scores: all have rank 10. With one fewer above, a rank beyond 10 counts nothing.
    assert reranking.reciprocal_ranks(lists, np.zeros(len(lists.candidates))).tolist() == [1 / 10] * 19
    assert not reranking.reciprocal_ranks(lists, np.zeros(len(lists.candidates)), k=9).any()
    assert not reranking.reciprocal_ranks(lists, -lists.relevant.astype(float)).any()
    with pytest.raises(KitError, match="take a model with one label"):
        reranking.evaluate(made, [lists], lambda pairs: np.zeros((len(pairs), 2)))


def test_what_is_not_in_the_list_counts_nothing():
    made = parallel_benchmark(passages=40)
    (lists,) = reranking.candidate_lists(made, of("en-en", made), chance(made), top=10)
    (row,) = reranking.evaluate(made, [lists], lambda pairs: np.array([q[5:] == p.split()[0] for q, p in pairs], float)).to_dict("records")  # fmt: skip
    assert 0.05 < row["recall"] < 0.6 and row["re-ranked MRR@10"] == row["recall"] and row["queries"] == 40


def test_a_pair_of_texts_is_scored_once():
    made = parallel_benchmark(passages=6)
    (lists,) = reranking.candidate_lists(made, of("en-en", made), chance(made), top=6)
    texts = [text if number_of(made, row) > 2 else "same text" for row, text in enumerate(made.candidate_texts)]
    copies = make_benchmark(
        "copies", "made up", made.query_ids, made.query_texts, made.query_languages.tolist(), made.candidate_ids, texts,
        made.candidate_languages.tolist(),
        [(made.query_ids[q], made.candidate_ids[c]) for q, c in zip(made.gold_query, made.gold_candidate)],
        questions=made.questions,
    )  # fmt: skip
    asked = []
    scores = reranking.rescored(copies, lists, lambda pairs: asked.extend(pairs) or np.arange(len(pairs)))
    assert len(asked) == len(set(asked)) == 6 * 4 and len(scores) == 6 * 6


def test_lists_of_xquad_r(shared_data, monkeypatch):
    monkeypatch.setenv("HYBRIDKIT_DOWNLOADS", str(shared_data))
    data = xquad_r.load(["de", "en", "th"])
    asked = of("en-en,de-de,de-en,en-th,mixed-mixed", data)
    found = reranking.candidate_lists(data, asked, reranking.bm25(data), top=10, questions=200)
    table = reranking.evaluate(data, found, lambda pairs: np.zeros(len(pairs))).set_index(
        ["query_language", "passage_language"]
    )
    assert (table["queries"] == 200).all()
    # A sentence that is two in another language makes the list longer, and the answer is not lost.
    assert (table["recall"] >= table.loc[("en", "en"), "recall"]).all() and table["recall"].min() > 0.85
    assert table.loc[("de", "de"), "candidates"] > table.loc[("en", "en"), "candidates"] > 9
    assert np.isclose(table.loc[("de", "en"), "first stage MRR@10"], table.loc[("en", "en"), "first stage MRR@10"])
    own = reranking.evaluate(
        data, reranking.candidate_lists(data, asked[:4], reranking.bm25(data), top=10, source=""),
        lambda pairs: np.zeros(len(pairs)),
    )  # fmt: skip
    recall = own.set_index(["query_language", "passage_language"])["recall"]
    assert recall["en", "en"] > 0.85 > 0.5 > recall["de", "en"] > recall["en", "th"]


# Cross-encoders


@pytest.fixture(scope="module")
def matching_encoder(tmp_path_factory):
    """A folder with a random encoder whose words are those of `parallel_benchmark`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("matching")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "find", "is", "here"]
    words += [word(code, number) for code in CODES for number in range(24)]
    tokenizer = Tokenizer(models.WordLevel({one: number for number, one in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=8, **named).save_pretrained(folder)
    torch.manual_seed(0)
    shape = BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    BertModel(shape, add_pooling_layer=False).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """Training pairs of `parallel_benchmark`'s questions and passages."""
    ids = [str(number) for number in range(24)]
    return make_pairs(
        tmp_path_factory.mktemp("words") / "pairs", "words", "made up",
        query_ids=ids, query_texts={code: [f"find {word(code, n)}" for n in range(24)] for code in CODES},
        passage_ids=ids, passage_texts={code: [f"{word(code, n)} is here" for n in range(24)] for code in CODES},
        query=range(24), positive=range(24), negatives=[[(n + 1) % 24, (n + 2) % 24, (n + 3) % 24] for n in range(24)],
    )  # fmt: skip


def parameters(encoder, **changes):
    given = {"mixture": "mono", "mono": 1.0, "cross": 0.0, "languages": ["de", "en"], "batch_size": 8, "steps": 6}
    given |= {"learning_rate": 5e-3, "explicit_negatives": 0, "max_length": 8, "checkpoint_every": 3}
    return Parameters(**given | {"encoder": str(encoder)} | changes)


def trained(words, encoder, folder, on_step=None, **changes):
    asked = parameters(encoder, **changes)
    plan = BatchPlan.from_parameters(asked, [words])
    return cross_encoders.train_cross_encoder(asked, plan, folder, on_step)


def weights(folder):
    return load_file(folder / "model" / "model.safetensors")


def test_pairs_of_a_batch(words):
    """One answer and four passages that do not answer: those of the plan, then other positives of the batch."""
    asked = parameters("tiny-mlm", explicit_negatives=1)
    plan = BatchPlan.from_parameters(asked, [words])
    batch = plan.step(2)
    columns = cross_encoders.render(plan, list(range(16, 24)))
    assert columns["label"] == [1.0, 0.0, 0.0, 0.0, 0.0] * 8
    for place in range(8):
        code = plan.languages[batch.query_language[place]]
        query, passages = columns["query"][5 * place], columns["passage"][5 * place : 5 * place + 5]
        assert query == f"find {word(code, batch.row[place])}" == columns["query"][5 * place + 4]
        numbers = [batch.row[place], batch.negatives[place, 0], *(batch.row[(place + i) % 8] for i in (1, 2, 3))]
        assert passages == [f"{word(code, number)} is here" for number in numbers]
        assert len(set(passages)) == 5
    some = cross_encoders.render(plan, [23, 16])
    assert some["passage"] == columns["passage"][35:] + columns["passage"][:5]
    assert len(cross_encoders.render(BatchPlan.from_parameters(parameters("tiny-mlm", batch_size=4, explicit_negatives=2), [words]), [0])["label"]) == 5  # fmt: skip


def test_words_of_the_pairs_are_switched(words, tmp_path):
    (tmp_path / "de-en.txt").write_text("find SEEK\nhere THERE\n", encoding="utf-8")
    switched = {"switch_probability": 1.0, "switch_query_to": ["en"], "switch_passage_to": ["en"]}
    asked = parameters("tiny-mlm", languages=["de"], switch_lexicons=str(tmp_path), **switched)
    plan = BatchPlan.from_parameters(asked, [words])
    plain = cross_encoders.render(plan, list(range(8)))
    columns = cross_encoders.render(plan, list(range(8)), Switching.from_parameters(asked))
    assert columns["query"] == [text.replace("find", "SEEK") for text in plain["query"]]
    assert columns["passage"] == [text.replace("here", "THERE") for text in plain["passage"]]
    assert columns["label"] == plain["label"]


def test_batch_too_small_for_its_negatives(words):
    plan = BatchPlan.from_parameters(parameters("tiny-mlm", batch_size=3), [words])
    with pytest.raises(KitError, match="takes 4 negatives from the other examples"):
        cross_encoders.render(plan, [0])


def test_translations_of_the_answer_are_no_negatives():
    """A batch that holds one passage in several languages."""
    from types import SimpleNamespace

    batch = SimpleNamespace(dataset=np.zeros(6, int), row=np.array([5, 5, 7, 7, 9, 5]))
    assert cross_encoders._others(batch, 1, 3) == [2, 3, 4]
    assert cross_encoders._others(batch, 4, 3) == [5, 0, 1]


def test_two_texts_are_parted_and_have_room(matching_encoder, small_encoder):
    model = cross_encoders.base(str(matching_encoder), 8)
    ids = model.tokenizer("find w1", "w2 is here")["input_ids"]
    assert model.tokenizer.convert_ids_to_tokens(ids) == "[CLS] find w1 [SEP] w2 is here [SEP]".split()
    assert model.max_seq_length == 16 and cross_encoders.base(str(matching_encoder), 5).max_seq_length == 10
    assert cross_encoders.base(str(matching_encoder), 20).max_seq_length == 16  # the places that it has
    with pytest.raises(KitError, match="nothing between the two texts"):
        cross_encoders.base(str(small_encoder), 8)


def test_cross_encoder_learns_what_it_is_trained_on(words, matching_encoder, tmp_path):
    asked = {"steps": 300, "learning_rate": 3e-3}
    record = trained(words, matching_encoder, tmp_path, **asked)
    assert record["loss"][-1][1] < 0.1 < 0.4 < record["loss"][0][1]
    made = parallel_benchmark(passages=24)
    found = reranking.candidate_lists(made, of("en-en,de-de,en-de", made), chance(made), top=24)
    table = reranking.evaluate(made, found, cross_encoders.scorer(str(tmp_path / "model"), 16))
    english, german, across = table["re-ranked MRR@10"]
    assert min(english, german) > 0.8 > 0.5 > across and (table["first stage MRR@10"] < 0.3).all()
    before = (tmp_path / "model" / "config.json").stat().st_mtime_ns
    assert trained(words, matching_encoder, tmp_path, **asked) == record
    assert (tmp_path / "model" / "config.json").stat().st_mtime_ns == before


def test_same_weights_again_and_after_an_interruption(words, matching_encoder, tmp_path):
    def stop(step, steps):
        if step == 4:
            raise KeyboardInterrupt

    trained(words, matching_encoder, tmp_path / "one", explicit_negatives=1)
    with pytest.raises(KeyboardInterrupt):
        trained(words, matching_encoder, tmp_path / "cut", stop, explicit_negatives=1)
    assert not (tmp_path / "cut" / "model").exists()
    record = trained(words, matching_encoder, tmp_path / "cut", explicit_negatives=1)
    assert record["resumed_from"] == "checkpoint-3"
    other = trained(words, matching_encoder, tmp_path / "other", explicit_negatives=1, seed=1)
    one, cut, another = (weights(tmp_path / name) for name in ("one", "cut", "other"))
    assert all(torch.equal(one[name], cut[name]) for name in one)
    assert not all(torch.equal(one[name], another[name]) for name in one) and other["steps"] == 6


def test_saved_model_reads_pairs_as_before_and_scores_are_logits(words, matching_encoder, tmp_path):
    """The sigmoid of 40 and of 41 is 1 in float32: certain pairs would be ties."""
    trained(words, matching_encoder, tmp_path, steps=1)
    model = cross_encoders.load(str(tmp_path / "model"))
    ids = model.tokenizer("find w1", "w2 is here")["input_ids"]
    assert ids == cross_encoders.base(str(matching_encoder), 8).tokenizer("find w1", "w2 is here")["input_ids"]
    assert model.max_seq_length == 16
    with torch.no_grad():
        model.model.classifier.weight.mul_(1e4)
    model.save_pretrained(str(tmp_path / "sure"))
    pairs = [(f"find w{i}", f"w{j} is here") for i in range(6) for j in range(6)]
    assert len(np.unique(model.predict(pairs))) < 36
    assert len(np.unique(cross_encoders.scorer(str(tmp_path / "sure"))(pairs))) == 36


def test_an_encoder_is_no_cross_encoder(matching_encoder, tmp_path):
    with pytest.raises(KitError, match="no trained cross-encoder"):
        cross_encoders.load(str(matching_encoder))
    with pytest.raises(KitError, match="There is no model folder"):
        cross_encoders.load(str(tmp_path / "nothing"))
    model = encoders.load(str(matching_encoder))
    model.save_pretrained(str(tmp_path / "retriever"), create_model_card=False)
    with pytest.raises(KitError, match="no trained cross-encoder"):
        cross_encoders.load(str(tmp_path / "retriever"))


def in_files(folder):
    """`parallel_benchmark` as a user's folder of files."""
    made = parallel_benchmark()
    folder.mkdir()
    queries = zip(made.query_ids, made.query_languages.tolist(), made.query_texts, made.questions)
    candidates = zip(made.candidate_ids, made.candidate_languages.tolist(), made.candidate_texts)
    golds = ((made.query_ids[q], made.candidate_ids[c]) for q, c in zip(made.gold_query, made.gold_candidate))
    for name, keys, rows in (
        ("queries", ("id", "language", "text", "question"), queries),
        ("candidates", ("id", "language", "text"), candidates),
        ("relevance", ("query", "candidate"), golds),
    ):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(dict(zip(keys, row))) + "\n" for row in rows))
    return folder


def test_command_line(matching_encoder, tmp_path, monkeypatch, own_cache):
    monkeypatch.setenv("HYBRIDKIT_OUTPUTS", str(tmp_path / "outputs"))
    small = ["museum_exhibits=100", "museum_evaluation_exhibits=20", "steps=2", "batch_size=8", "max_length=8"]
    asked = ["train", "--cross-encoder", "--encoder", str(matching_encoder), "--mixture", "mono"]
    asked += [part for one in small for part in ("--set", one)]
    done = CliRunner().invoke(cli.main, asked)
    assert done.exit_code == 0, done.output
    (model,) = (tmp_path / "outputs" / "tiny" / "cross-encoders").glob("*/model")
    assert str(model) in done.output and not (tmp_path / "outputs" / "tiny" / ".staging").exists()
    asked = ["rerank", "--model", str(model), "--benchmark", str(in_files(tmp_path / "made-up")), "--top", "3"]
    asked += ["--questions", "10", "--first-stage", str(matching_encoder)]
    asked += ["--settings", "en-en,en-de,mixed-mixed", "--csv", str(tmp_path / "table.csv")]
    done = CliRunner().invoke(cli.main, asked)
    assert done.exit_code == 0, done.output
    assert "| monolingual | en | en | 10 | 3.0 |" in done.output and "| mixed-language | mean | mean |" in done.output
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 4
    for wrong, told in (
        (["--model", str(matching_encoder)], "no trained cross-encoder"),
        (["--settings", "en-xx"], "The setting 'en-xx' is not to be had"),
        (["--first-stage", str(tmp_path / "none")], "There is no model folder"),
        (["--lists-in", "xx"], "no questions and no candidates in 'xx', in which the lists are to be found"),
    ):
        done = CliRunner().invoke(cli.main, [*asked, *wrong])
        assert done.exit_code == 1 and told in done.output and done.output.count("error") == 1, done.output
