"""The one shape of errors, as every test of one checks it."""

import httpx2

from shop.core.errors import Problem, title


def assert_problem(response: httpx2.Response, status: int | None = None, code: str | None = None) -> Problem:
    """`response` is an error in the one shape, with this status and code if they are given."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    problem = Problem.model_validate_json(response.content)
    assert problem.status == response.status_code, response.text
    assert problem.title == title(problem.status)
    assert problem.type == "about:blank"
    assert problem.request_id == response.headers["x-request-id"]
    assert problem.message == problem.detail
    assert problem.message.endswith("."), f"not a sentence: {problem.message}"
    if status is not None:
        assert problem.status == status, response.text
    if code is not None:
        assert problem.code == code, response.text
    return problem
