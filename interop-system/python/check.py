"""Says of each thing that is tried whether it went well, in the lines that the runner reads."""
from contextlib import contextmanager

failures = 0


@contextmanager
def check(what):
    global failures
    try:
        yield
        print(f'ok {what}', flush=True)
    except Exception as error:
        failures += 1
        print(f'failed {what}: {type(error).__name__} {error}'.replace('\n', ' '), flush=True)


@contextmanager
def raises(kind, message):
    """Expects an error of this kind that says this."""
    try:
        yield
    except kind as error:
        assert message in str(error), f'it says {error}'
    else:
        raise AssertionError(f'nothing said {message}')


def finish():
    raise SystemExit(1 if failures else 0)
