"""Names of libraries' functions that draw numbers, read clocks, list folders and the like: the tables of randomness."""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_DRAWS_PYTHON = _words(
    "random randint randrange choice choices shuffle sample uniform triangular gauss normalvariate expovariate"
    " betavariate gammavariate lognormvariate vonmisesvariate paretovariate weibullvariate getrandbits randbytes"
    " binomialvariate"
)
_DRAWS_NUMPY = _words(
    "rand randn randint random random_sample random_integers ranf sample choice bytes shuffle permutation permuted"
    " beta binomial chisquare dirichlet exponential f gamma geometric gumbel hypergeometric laplace logistic lognormal"
    " logseries multinomial multivariate_normal negative_binomial noncentral_chisquare noncentral_f normal pareto"
    " poisson power rayleigh standard_cauchy standard_exponential standard_gamma standard_normal standard_t triangular"
    " uniform vonmises wald weibull zipf"
)
_DRAWS_TORCH = _words(
    "rand randn randint randperm normal bernoulli multinomial poisson rand_like randn_like randint_like"
)
DRAWS = _DRAWS_PYTHON | _DRAWS_NUMPY | frozenset(("integers", "spawn"))
"""Methods of generators that draw."""

MAKERS = frozenset(
    (
        "random.Random",
        *(
            f"numpy.random.{name}"
            for name in _words("default_rng RandomState Generator PCG64 PCG64DXSM MT19937 Philox SFC64 SeedSequence")
        ),
    )
)
"""Generators of one's own; torch.Generator() is not among them: it starts from a fixed seed."""

SEEDERS: dict[str, tuple[str, ...]] = {
    "random.seed": ("random",),
    "numpy.random.seed": ("numpy",),
    "numpy.random.set_state": ("numpy",),
    "random.setstate": ("random",),
    "torch.manual_seed": ("torch",),
    "torch.random.manual_seed": ("torch",),
    "torch.set_rng_state": ("torch",),
    "tensorflow.random.set_seed": ("tensorflow",),
    "keras.utils.set_random_seed": ("random", "numpy", "torch", "tensorflow"),
    "tensorflow.keras.utils.set_random_seed": ("random", "numpy", "tensorflow"),
    "lightning.seed_everything": ("random", "numpy", "torch"),
    "lightning.pytorch.seed_everything": ("random", "numpy", "torch"),
    "pytorch_lightning.seed_everything": ("random", "numpy", "torch"),
    "transformers.set_seed": ("random", "numpy", "torch"),
    "accelerate.utils.set_seed": ("random", "numpy", "torch"),
}
"""{function: global generators that it seeds}"""

_RANDOM_STATE = _words(
    "train_test_split ShuffleSplit GroupShuffleSplit StratifiedShuffleSplit KFold StratifiedKFold StratifiedGroupKFold"
    " RepeatedKFold RepeatedStratifiedKFold shuffle resample permutation_importance permutation_test_score"
    " RandomizedSearchCV HalvingGridSearchCV HalvingRandomSearchCV ParameterSampler learning_curve"
    " RandomForestClassifier RandomForestRegressor ExtraTreesClassifier ExtraTreesRegressor RandomTreesEmbedding"
    " DecisionTreeClassifier DecisionTreeRegressor ExtraTreeClassifier ExtraTreeRegressor GradientBoostingClassifier"
    " GradientBoostingRegressor BaggingClassifier BaggingRegressor AdaBoostClassifier AdaBoostRegressor"
    " IsolationForest MLPClassifier MLPRegressor BernoulliRBM SGDClassifier SGDRegressor SGDOneClassSVM Perceptron"
    " PassiveAggressiveClassifier PassiveAggressiveRegressor LinearSVC RANSACRegressor TheilSenRegressor KMeans"
    " MiniBatchKMeans BisectingKMeans SpectralClustering SpectralBiclustering SpectralCoclustering TSNE MDS"
    " GaussianMixture BayesianGaussianMixture FastICA NMF MiniBatchNMF TruncatedSVD FactorAnalysis DictionaryLearning"
    " MiniBatchDictionaryLearning SparsePCA MiniBatchSparsePCA LatentDirichletAllocation GaussianRandomProjection"
    " SparseRandomProjection Nystroem RBFSampler SkewedChi2Sampler make_classification make_regression make_blobs"
    " make_moons make_circles make_friedman1 make_friedman2 make_friedman3 make_gaussian_quantiles make_hastie_10_2"
    " make_low_rank_matrix make_multilabel_classification make_s_curve make_swiss_roll make_sparse_coded_signal"
    " make_sparse_uncorrelated make_spd_matrix mutual_info_classif mutual_info_regression IterativeImputer"
    " QuantileTransformer randomized_svd cross_val_multiclass SMOTE ADASYN BorderlineSMOTE RandomOverSampler"
    " RandomUnderSampler UMAP"
)
ONLY_SHUFFLED = frozenset(("KFold", "StratifiedKFold", "StratifiedGroupKFold", "learning_curve"))
"""Those that draw only with ``shuffle=True``."""
_RANDOM_STATE_PACKAGES = ("sklearn", "imblearn", "umap")

SET_METHODS = frozenset(("union", "intersection", "difference", "symmetric_difference", "copy"))
ORDERLESS = frozenset(("sorted", "len", "sum", "min", "max", "any", "all", "set", "frozenset", "isinstance", "bool"))
"""Functions whose result does not depend on the order of what they are given."""
ORDERED = frozenset(("list", "tuple", "enumerate", "iter", "next", "zip", "map", "filter", "reversed", "dict"))
FETCHING = ("read_", "open", "urlopen", "urlretrieve", "get", "post", "load", "fetch", "request", "download", "connect")

SAID = {
    "time": "reads the clock",
    "entropy": "is different every time",
    "network": "comes from the network",
    "threads": "runs things in an order that varies",
    "listing-order": "lists files in the file system's order",
}
_EXACT: dict[str, str] = {
    **dict.fromkeys(
        _words(
            "time.time time.time_ns time.perf_counter time.perf_counter_ns time.monotonic time.monotonic_ns"
            " time.process_time time.thread_time time.localtime time.gmtime time.ctime datetime.datetime.now"
            " datetime.datetime.utcnow datetime.datetime.today datetime.date.today pandas.Timestamp.now"
            " pandas.Timestamp.today pandas.Timestamp.utcnow timeit.default_timer"
        ),
        "time",
    ),
    **dict.fromkeys(
        _words(
            "uuid.uuid1 uuid.uuid4 os.urandom os.getrandom os.getpid random.SystemRandom torch.seed"
            " tempfile.mkdtemp tempfile.mktemp tempfile.NamedTemporaryFile"
        ),
        "entropy",
    ),
    **dict.fromkeys(_words("os.listdir os.scandir os.walk glob.glob glob.iglob"), "listing-order"),
    **dict.fromkeys(
        _words(
            "threading.Thread concurrent.futures.ThreadPoolExecutor concurrent.futures.ProcessPoolExecutor"
            " concurrent.futures.as_completed multiprocessing.Pool multiprocessing.Process multiprocessing.pool.ThreadPool"
            " joblib.Parallel asyncio.as_completed"
        ),
        "threads",
    ),
}
_BELOW = {
    "secrets.": "entropy",
    "requests.": "network",
    "httpx.": "network",
    "aiohttp.": "network",
    "urllib.request.": "network",
    "urllib3.": "network",
    "socket.": "network",
    "boto3.": "network",
    "sklearn.datasets.fetch_": "network",
    "openml.": "network",
    "kagglehub.": "network",
    "gdown.": "network",
    "datasets.load_dataset": "network",
    "huggingface_hub.": "network",
    "yfinance.": "network",
    "seaborn.load_dataset": "network",
}


def generator_of(name: str) -> str:
    """The global generator that a call to this dotted name draws from; empty if none."""
    package, _, last = name.rpartition(".")
    if package == "random" and last in _DRAWS_PYTHON:
        return "random"
    if package in ("numpy.random", "numpy.random.mtrand") and last in _DRAWS_NUMPY:
        return "numpy"
    if package == "torch" and last in _DRAWS_TORCH:
        return "torch"
    if package == "torch.nn" and last[:1].isupper() and last.startswith(_WEIGHTED):
        return "torch"
    if package == "tensorflow.random" and last in ("normal", "uniform", "shuffle", "truncated_normal", "gamma"):
        return "tensorflow"
    return ""


_WEIGHTED = ("Linear", "Bilinear", "Conv", "LSTM", "GRU", "RNN", "Embedding", "Transformer", "Multihead", "Dropout")


def takes_random_state(name: str) -> bool:
    """Does this function of scikit-learn (or a package like it) draw from NumPy's generator unless told otherwise?"""
    package, _, last = name.rpartition(".")
    return package.partition(".")[0] in _RANDOM_STATE_PACKAGES and last in _RANDOM_STATE


def is_draw_of_scipy(name: str) -> bool:
    """``scipy.stats.norm.rvs`` and its like."""
    return name.startswith("scipy.stats.") and name.endswith(".rvs")


def kind_of(name: str) -> str:
    """What else may vary in a call to this dotted name: time, entropy, network, threads, listing-order, or nothing."""
    known = _EXACT.get(name)
    if known is not None:
        return known
    return next((kind for prefix, kind in _BELOW.items() if name.startswith(prefix)), "")
