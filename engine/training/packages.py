"""Packages that only some data sets, models and settings need. A training environment may lack them."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from descent.common.errors import CannotGoOnError
from descent.common.i18n import _


@contextmanager
def needed(package: str, by: str) -> Iterator[None]:
    """Turn a failed import inside the block into a CannotGoOnError. by: the setting that needs the package.

    A torchvision that was built for another torch raises RuntimeError.
    """
    try:
        yield
    except (ImportError, RuntimeError) as error:
        raise CannotGoOnError(
            _(
                "{by} needs {package}, which can't be imported here ({error}); install it for {python}, in the "
                "version that fits your PyTorch",
                by=by,
                package=package,
                error=error,
                python=sys.executable,
            )
        ) from error
