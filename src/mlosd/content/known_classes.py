"""Which modules the classes of models live in, which those of data, and which functions no pickle of either needs.

Matched against `module` or, the dangerous ones, `module.name`. A class that is not here is told by its structure.
"""

import re

MODELS = re.compile(
    r"""(sklearn | xgboost | lightgbm | catboost | keras | tensorflow | statsmodels | prophet | spacy | gensim\.models
    | transformers\.models | transformers\.modeling_\w+ | torch\.nn | torchvision\.models | timm | fastai | implicit
    | surprise | hmmlearn | pmdarima | lifelines | ngboost | imblearn | hdbscan | umap | sentence_transformers | flair
    | pyod | river | stable_baselines3 | skorch | interpret | econml | autogluon | flaml | tpot | mlxtend | sktime
    | darts | neuralprophet | pytorch_lightning | lightning | peft | diffusers | ultralytics\.nn | open_clip | cuml
    | category_encoders | feature_engine | mapie | pytorch_tabnet | deepctr | bertopic | nltk\.classify)(\.|$)""",
    re.VERBOSE,
)

DATA = re.compile(
    r"""(pandas | polars | pyarrow | scipy\.sparse | xarray | geopandas | dask | PIL | torch\.utils\.data
    | torch_geometric\.data | torchtext | datasets | sklearn\.datasets | sklearn\.utils\._bunch | networkx)(\.|$)""",
    re.VERBOSE,
)

# In the same packages, and no models: splitters, tokenizers, arguments, callbacks.
BESIDE_MODELS = re.compile(
    r"""sklearn\.(utils | metrics | model_selection\._split | exceptions)
    | torch\.(utils | optim | distributed | _ | storage | cuda | nn\.parameter)
    | .*\.(tokenization | training_args | trainer | optimization | configuration | feature_extraction)\w*(\.|$)
    | .*\.(callbacks? | loggers? | schedulers?)(\.|$)""",
    re.VERBOSE,
)

DANGEROUS = re.compile(
    r"""(os | posix | nt | subprocess | _posixsubprocess | pty | socket | shutil | runpy | ctypes | webbrowser
    | code | codeop | pdb | bdb | pip | importlib | imp | pkgutil | zipimport | sys | platform | commands | popen2
    | urllib | requests | http | ftplib | telnetlib | smtplib | tempfile | asyncio | timeit | cProfile | profile
    | trace | doctest | distutils | setuptools | ensurepip | venv | linecache | multiprocessing\.util)\..+
    | (builtins | __builtin__)\.(eval | exec | compile | __import__ | open | execfile | input | globals | breakpoint
    | apply)
    | operator\.(attrgetter | methodcaller) | torch\.(hub | jit | utils\.cpp_extension | distributed\.rpc)\..+
    | numpy\.(testing | f2py)\..+ | types\.(CodeType | FunctionType)""",
    re.VERBOSE,
)
