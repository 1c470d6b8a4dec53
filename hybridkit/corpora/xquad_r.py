"""XQuAD-R (LAReQA, arXiv 2004.05484): fetched once from its pinned commit, checked, and put into a benchmark."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from hybridkit import paths
from hybridkit.corpora.benchmark import Benchmark, make_benchmark
from hybridkit.corpora.catalogue import CATALOGUE
from hybridkit.errors import KitError
from hybridkit.languages import XQUAD_R

SOURCE = CATALOGUE["xquad-r"]
_MEND = "delete it and run `hybridkit data fetch xquad-r`"


def load(languages: Sequence[str] = XQUAD_R) -> Benchmark:
    """XQuAD-R in the given languages: every sentence is a candidate, one is relevant to a question in each language.

    A candidate's id is "<language>:<article>:<paragraph>:<sentence>", a query's "<language>:<SQuAD id>", and the
    SQuAD id is the question that translations share. Raises KitError as `fetch` does.
    """
    queries, candidates, answers = [], [], {}
    for code, path in fetch(languages).items():
        articles = json.loads(path.read_text(encoding="utf-8"))["data"]
        for number, article in enumerate(articles):
            for place, paragraph in enumerate(article["paragraphs"]):
                prefix = f"{code}:{number}:{place}"
                candidates += [(f"{prefix}:{i}", text, code) for i, text in enumerate(_sentences(paragraph))]
                for asked in paragraph["qas"]:
                    queries.append((f"{code}:{asked['id']}", asked["question"], code, asked["id"]))
                    answers.setdefault(asked["id"], []).append(f"{prefix}:{_answer(paragraph, asked)}")
    query_ids, query_texts, query_languages, questions = zip(*queries, strict=True)
    candidate_ids, candidate_texts, candidate_languages = zip(*candidates, strict=True)
    return make_benchmark(
        name=SOURCE.name,
        licence=SOURCE.licence,
        query_ids=query_ids,
        query_texts=query_texts,
        query_languages=query_languages,
        questions=questions,
        candidate_ids=candidate_ids,
        candidate_texts=candidate_texts,
        candidate_languages=candidate_languages,
        relevance=[(query, one) for query, _, _, question in queries for one in answers[question]],
    )


def _sentences(paragraph: dict) -> list[str]:
    # By the breaks, not by `sentences`: the two disagree in one Turkish paragraph, and answers go by the breaks.
    return [paragraph["context"][start:end] for start, end in paragraph["sentence_breaks"]]


def _answer(paragraph: dict, asked: dict) -> int:
    """The number of the sentence that holds the first character of the answer."""
    place = asked["answers"][0]["answer_start"]
    return next(i for i, (start, end) in enumerate(paragraph["sentence_breaks"]) if start <= place < end)


def fetch(languages: Sequence[str] = XQUAD_R) -> dict[str, Path]:
    """The file of each language, downloaded where it is not in `paths.downloads()/xquad-r` yet.

    A file that is there with the pinned SHA-256 is used without network, also from a read-only folder. Raises
    KitError for a language that XQuAD-R lacks, a file with another checksum (which is never overwritten), and where
    nothing is there and nothing can be fetched.
    """
    unknown = [code for code in languages if code not in SOURCE.languages]
    if unknown or not languages:
        wrong = repr(unknown[0]) if unknown else "when none is named"
        raise KitError(f"XQuAD-R has no language {wrong}: write some of {', '.join(SOURCE.languages)}.")
    return {code: _file(f"{code}.json") for code in dict.fromkeys(languages)}


def is_there() -> bool:
    """Whether all files are downloaded; raises KitError for one that is cut short or altered."""
    if not all((paths.downloads() / SOURCE.name / name).is_file() for name in SOURCE.files):
        return False
    fetch()
    return True


def _file(name: str) -> Path:
    path, pin = paths.downloads() / SOURCE.name / name, SOURCE.files[name]
    if path.is_file():
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != pin["sha256"]:
            raise KitError(
                f"{path} is cut short or altered: it has {path.stat().st_size:,} bytes of {pin['bytes']:,} and the "
                f"SHA-256 {found} where {pin['sha256']} was expected; {_MEND}."
            )
    else:
        _download(SOURCE.url.format(commit=SOURCE.commit, file=name), path, pin["sha256"])
    return path


def _download(url: str, path: Path, sha256: str) -> None:
    import pooch
    from requests.exceptions import RequestException

    host = urlsplit(url).hostname
    try:
        pooch.retrieve(url, known_hash=f"sha256:{sha256}", fname=path.name, path=path.parent, progressbar=False)
    except RequestException as error:
        reason = f"answered {error.response.status_code}" if error.response is not None else "could not be reached"
        raise KitError(
            f"{path} is not there and {host} {reason}: connect to the network, or put a copy of the files of XQuAD-R "
            f"into {path.parent}, or set HYBRIDKIT_DOWNLOADS to a folder that holds them in {path.parent.name}/."
        ) from error
    except ValueError as error:
        raise KitError(
            f"What {host} sent for {path.name} does not have the SHA-256 {sha256} of the pinned revision, and was "
            f"thrown away: try again, and if it stays so, put a copy of the files of XQuAD-R into {path.parent}."
        ) from error
    except OSError as error:
        raise KitError(
            f"{path} cannot be written ({error.strerror or error}): set HYBRIDKIT_DOWNLOADS to a folder that can."
        ) from error
