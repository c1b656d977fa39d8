"""What is changed of the requests a fuzzer makes up, and why.

Above all it keeps Weir at home: it checks the health of servers it is told of and looks their names up, so that
whatever address is made up, the server is on loopback. Only what would be a valid address is changed, and only its
host, so that wrong addresses stay wrong.
"""

import re

import schemathesis

ADDRESS = re.compile(r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$")

FLAGS = {"bind", "cascade", "dry_run", "verbose"}


def _at_home(text):
    return ADDRESS.sub(r"127.0.0.1:\2", text)


def _everywhere(value):
    if isinstance(value, str):
        return _at_home(value)
    if isinstance(value, list):
        return [_everywhere(item) for item in value]
    if isinstance(value, dict):
        return {name: _everywhere(item) for name, item in value.items()}
    return value


@schemathesis.hook
def before_call(context, case, kwargs):
    case.body = _everywhere(case.body)
    if case.path_parameters and isinstance(case.path_parameters.get("server"), str):
        case.path_parameters["server"] = _at_home(case.path_parameters["server"])
    _lasting(case)
    _impatient(case)
    _wordy(case)
    _sent(case)
    _earnest(case)


def _lasting(case):
    """Leaves the fuzzer's own token alone, and puts no secret where its name belongs: a `token` of an answer is a secret,
    that of a path a name."""
    name = str((case.path_parameters or {}).get("token"))
    if name == "fuzzer" or name.startswith("weir_"):
        case.path_parameters["token"] = "another"


def _impatient(case):
    """Asks for no revision that is yet to come: 503 after five seconds is right, and all it does is take time."""
    asked = (case.query or {}).get("min_revision")
    if re.fullmatch(r"[0-9]+", str(asked)):
        case.query["min_revision"] = "0"


def _wordy(case):
    """Asks for whole answers where something may be created: a description cannot say that the body of a 201 depends
    on a field of the request. The short ones are tested in control/src/api/tests/preferences.rs."""
    if case.method.upper() in ("POST", "PUT") and case.headers:
        case.headers.pop("Prefer", None)


def _sent(case):
    """Sends every parameter that was made up: an empty list leaves no trace in a query, and could not be refused."""
    for name, value in (case.query or {}).items():
        if _is_nothing(value):
            case.query[name] = ""
        # A flag without a value is set, which the schema of a truth value cannot say.
        if name in FLAGS and case.query[name] == "":
            case.query[name] = "neither"


def _is_nothing(value):
    if isinstance(value, dict):
        value = list(value.values())
    return isinstance(value, list) and all(_is_nothing(item) for item in value)


def _earnest(case):
    """Makes the changes that sequences of calls build on. A trial is answered 201 like what it tries, as documented, and
    then the resource is not there; the fuzzer would call that a loss. Single calls are tried as well."""
    phase = getattr(getattr(case.meta, "phase", None), "name", None)
    if "stateful" in str(phase).lower() and case.method.upper() in ("POST", "PUT"):
        (case.query or {}).pop("dry_run", None)
