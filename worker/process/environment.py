"""What of the worker's environment a trial may see: an allow-list, so that no address or password passes."""

from collections.abc import Mapping

_ALLOWED = frozenset(
    {
        "PATH",
        "HOME",
        "USER",
        "LOGNAME",
        "LANG",
        "TZ",
        "TMPDIR",
        "LD_LIBRARY_PATH",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "HF_HOME",
        "KERAS_HOME",
        "SCIKIT_LEARN_DATA",
    }
)
_ALLOWED_PREFIXES = (
    *("LC_", "PYTHON", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMEXPR_"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NCCL_", "NVIDIA_", "GLOO_", "TORCH", "PYTORCH_", "TRITON_", "XDG_"),
)
# A trial has a home of its own: what libraries keep in the user's between runs, downloads above all, stays where it is.
_KEPT_AT_HOME = {
    "XDG_CACHE_HOME": ".cache",
    "PYTHONUSERBASE": ".local",
    "SCIKIT_LEARN_DATA": "scikit_learn_data",
    "KERAS_HOME": ".keras",
}
_DEFAULTS = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1", "PYTHONHASHSEED": "0", "PYTHONIOENCODING": "utf-8:backslashreplace"}


def scrubbed(environ: Mapping[str, str], slot: Mapping[str, str]) -> dict[str, str]:
    """The allowed part of `environ`, with the slot's own variables on top.

    PYTORCH_NVML_BASED_CUDA_CHECK lets a module ask torch.cuda.is_available() when imported without spoiling later
    forks, a fixed PYTHONHASHSEED makes a seeded trial repeatable, and no character can make `print` fail; all give way
    to `environ`.
    """
    kept = {name: value for name, value in environ.items() if name in _ALLOWED or name.startswith(_ALLOWED_PREFIXES)}
    home = environ.get("HOME")
    at_home = {name: f"{home}/{place}" for name, place in _KEPT_AT_HOME.items()} if home else {}
    return {**_DEFAULTS, **at_home, **kept, **slot}
