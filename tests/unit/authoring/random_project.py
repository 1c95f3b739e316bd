"""Projects made at random, and what they come to: the digest of `shop.flow:f` and what it returns.

Refuses to know how digests are made.
"""

from __future__ import annotations

import decimal
import importlib
import random
import sys
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from wfplatform.authoring.function_digest import FunctionDigest, function_digest

__all__ = ["FEATURES", "OPAQUE", "Answer", "Project", "answer", "project"]

type Project = Mapping[str, str]
"""Path in the package -> text."""

INPUTS = (0, 1, 2, 7)
HEADS = {
    "settings.py": "import os\n",
    "deep.py": "import contextlib, functools, math, decimal\nfrom types import MappingProxyType\n",
    "stars.py": "__all__ = []\n",
    "mid.py": "import functools, contextlib\nfrom shop import deep, settings\nfrom shop.stars import *\n",
    "models.py": "import abc, collections, dataclasses, enum, functools, typing\nfrom shop import deep, settings\n",
    "flow.py": (
        "import functools, decimal, importlib, pathlib\nfrom shop import deep, mid, models, settings\n"
        "from shop.stars import *\n"
    ),
}

# Name of a feature -> module -> its text. N is the number of the feature in its project, K are numbers, f() gets `use`.
FEATURES: dict[str, dict[str, str]] = {
    "chain": {
        "deep.py": "def deep_N(x):\n    y = x * K\n    return y + K\n",
        "mid.py": "from shop.deep import deep_N as inner_N\ndef mid_N(x, *, plus=K):\n    return inner_N(x) - plus\n",
        "use": "mid.mid_N(x)",
    },
    "settings": {
        "settings.py": "LIMIT_N = K\nTABLE_N = {'a': K, 'b': [K, {K, K + 9}]}\nWORDS_N = frozenset({'p', 'q', 'K'})\n",
        "flow.py": "from shop.settings import LIMIT_N as other_N\n",
        "use": "[settings.LIMIT_N, other_N, settings.TABLE_N['a'], *map(sorted, (settings.TABLE_N['b'][1], settings.WORDS_N))]",
    },
    "classes": {
        "models.py": """
            class Ground_N:
                step = K
                def __init__(self, x): self.x = x
                def size(self): return self.x + self.step
                @property
                def wide(self): return self.size() * K
                def unused(self): return K
            class House_N(Ground_N):
                step = K
                def size(self):
                    '''Says what.'''
                    return super().size() - K
                @staticmethod
                def add(x): return x + K
                @classmethod
                def of(cls, x): return cls(x + K)
            """,
        "use": "[models.House_N.of(x).wide, models.House_N.add(x)]",
    },
    "decorators": {
        "deep.py": """
            def times_N(factor):
                def decorate(function):
                    @functools.wraps(function)
                    def wrapper(*args, **kwargs):
                        return function(*args, **kwargs) * factor + K
                    return wrapper
                return decorate
            class Counted_N:
                def __init__(self, function):
                    functools.update_wrapper(self, function)
                    self.function = function
                def __call__(self, x): return self.function(x) + K
            """,
        "mid.py": """
            @deep.times_N(K)
            def timed_N(x):
                return x + K
            @deep.Counted_N
            def counted_N(x):
                "Says what."
                return x - K
            """,
        "use": "[mid.timed_N(x), mid.counted_N(x)]",
    },
    "remembered": {
        "deep.py": "@functools.lru_cache(maxsize=K + 1)\ndef remembered_N(x):\n    return x + K\n",
        "use": "deep.remembered_N(x)",
    },
    "partial": {
        "deep.py": "def three_N(a, b, c=K):\n    return a * 100 + b * 10 + c\npart_N = functools.partial(three_N, K, c=K)\n",
        "use": "deep.part_N(x)",
    },
    "lambdas": {
        "mid.py": "add_N = lambda x: x + K\nBY_NAME_N = {'a': lambda x: x - K, 'b': [add_N, deep.abs_N]}\n",
        "deep.py": "def abs_N(x): return abs(x - K)\n",
        "use": "[mid.add_N(x), mid.BY_NAME_N['a'](x), [g(x) for g in mid.BY_NAME_N['b']]]",
    },
    "closures": {
        "mid.py": """
            def make_N(by):
                table = [by, K]
                def made(x):
                    return x * by + sum(table)
                return made
            made_N = make_N(K)
            """,
        "use": "mid.made_N(x)",
    },
    "defaults": {
        "deep.py": "def def_N(x, y=K, *rest, z=K, **more):\n    return (x, y, rest, z, more)\n",
        "use": "[deep.def_N(x), deep.def_N(x, z=K, w=K)]",
    },
    "dataclass": {
        "models.py": """
            def fresh_N(): return [K]
            @dataclasses.dataclass(order=True)
            class Row_N:
                number: int = K
                words: list = dataclasses.field(default_factory=fresh_N)
                hidden: int = dataclasses.field(default=K, compare=False, repr=True)
                def total(self): return self.number + len(self.words) + K
            """,
        "use": "[models.Row_N(), models.Row_N().total(), models.Row_N() < models.Row_N(number=x)]",
    },
    "enum": {
        "models.py": """
            class Colour_N(enum.Enum):
                RED = K
                BLUE = 'blueK'
                def __str__(self): return f'{self.name}-{K}'
                def _hidden(self): return (self.value, K)
                @classmethod
                def _missing_(cls, value): return cls.BLUE
            """,
        "use": "[str(c) for c in models.Colour_N] + [c._hidden() for c in models.Colour_N] + [models.Colour_N(x)]",
    },
    "control": {
        "mid.py": """
            def control_N(x):
                found = []
                for i in range(K % 5 + 2):
                    if i == x: continue
                    elif i > K: found.append(i)
                    else: found.append(-i)
                try:
                    found.append(K // (x - K % 3))
                except ZeroDivisionError as error:
                    found.append(str(error))
                finally:
                    found.append(K)
                match x:
                    case 0: found.append('none')
                    case 1 | 2: found.append(K)
                    case _: pass
                if x: pass
                return [y for y in found if y != K], {k: v for k, v in enumerate(found)}, (n := K) + n
            """,
        "use": "mid.control_N(x)",
    },
    "conditional": {
        "settings.py": "FLAG_N = K > 5\n",
        "mid.py": """
            if settings.FLAG_N:
                def chosen_N(x): return x + K
            else:
                def chosen_N(x): return x - K
            """,
        "use": "mid.chosen_N(x)",
    },
    "passed": {
        "deep.py": "def apply_N(g, x): return g(x) + K\ndef given_N(x): return x * K\ndef unused_N(x): return K\n",
        "use": "deep.apply_N(deep.given_N, x)",
    },
    "stars": {
        "stars.py": "__all__ += ['star_N', 'STAR_N']\nSTAR_N = K\ndef star_N(x): return x + STAR_N * K\n",
        "use": "[star_N(x), STAR_N]",
    },
    "by_name": {
        "settings.py": "NAMED_N = K\n",
        "use": "getattr(settings, 'NAMED' + '_N') + x",
    },
    "imported_inside": {
        "mid.py": "def inside_N(x):\n    from shop.deep import late_N\n    return late_N(x) + K\n",
        "deep.py": "def late_N(x): return x - K\n",
        "use": "[mid.inside_N(x), importlib.import_module('shop.deep').late_N(x)]",
    },
    "wrapped_standard": {
        "deep.py": """
            def checked_N(function):
                @functools.wraps(function)
                def wrapper(x): return function(x + 0.5) + K
                return wrapper
            floor_N = checked_N(math.floor)
            @contextlib.contextmanager
            def held_N(x):
                yield x + K
            def with_N(x):
                with held_N(x) as y:
                    return y * K
            """,
        "use": "[deep.floor_N(x), deep.with_N(x)]",
    },
    "dispatch": {
        "deep.py": """
            @functools.singledispatch
            def kind_N(x): return K
            @kind_N.register
            def _(x: int): return x + K
            @kind_N.register(str)
            def _(x): return 'K'
            """,
        "use": "[deep.kind_N(x), deep.kind_N(str(x)), deep.kind_N([])]",
    },
    "attributes": {
        "deep.py": "def has_N(x): return x + has_N.limit\nhas_N.limit = K\nVIEW_N = MappingProxyType({'a': K})\n",
        "use": "[deep.has_N(x), deep.VIEW_N['a']]",
    },
    "objects": {
        "models.py": """
            class Hiding_N:
                def __init__(self, k): self.k = k; self.m = K
                def __getstate__(self): return {'m': 1}
                def __call__(self, x): return x * self.k + self.m
            class Slotted_N:
                __slots__ = ('k',)
                def __init__(self, k): self.k = k
                def __eq__(self, other): return self.k == other
                def __hash__(self): return 1
            class Dict_N(dict):
                def __missing__(self, key): return K
            class Point_N(typing.NamedTuple):
                x: int = K
                y: int = K
            hiding_N, slotted_N, dict_N = Hiding_N(K), Slotted_N(K), Dict_N(a=K)
            """,
        "use": "[models.hiding_N(x), models.slotted_N.k, models.dict_N['a'], models.dict_N['b'], models.Point_N(x)]",
    },
    "descriptors": {
        "models.py": """
            class Plus_N:
                def __init__(self, by): self.by = by
                def __set_name__(self, owner, name): self.name = name
                def __get__(self, obj, owner=None): return len(self.name) + self.by + K
            class Meta_N(type):
                def __call__(cls, *args): return super().__call__(*args, K)
            class Registered_N:
                known = {}
                def __init_subclass__(cls, weight=K): Registered_N.known[cls.__name__] = (cls, weight)
            class One_N(Registered_N, metaclass=type):
                def go(self, x): return x + K
            class Two_N(Registered_N, weight=K):
                def go(self, x): return x - K
            class Made_N(metaclass=Meta_N):
                plus = Plus_N(K)
                def __init__(self, x, y): self.z = x + y
                @functools.cached_property
                def kept(self):
                    '''Says what.'''
                    return self.z * K
            """,
        "use": "[models.Made_N(x).plus, models.Made_N(x).kept, [(c().go(x), w) for c, w in models.Registered_N.known.values()]]",
    },
    "abstract": {
        "models.py": """
            class Ground2_N(abc.ABC):
                @abc.abstractmethod
                def go(self, x): ...
            class Real_N(Ground2_N):
                def go(self, x): return x + K
            class Other_N: pass
            Ground2_N.register(Other_N)
            """,
        "use": "[models.Real_N().go(x), isinstance(models.Other_N(), models.Ground2_N)]",
    },
    "effect": {
        "settings.py": "import decimal\ndef prepare_N():\n    decimal.getcontext().prec = K + 1\nprepare_N()\n",
        "use": "decimal.Decimal(x + 1) / decimal.Decimal(7)",
    },
    "effects_of_definitions": {
        "deep.py": """
            def precise_N(k, decorating=False):
                decimal.getcontext().prec = k
                return lambda function: function
            """,
        "mid.py": "given_N = deep.precise_N(K + 1)\n@deep.precise_N(K + 2)\ndef lonely_N(x):\n    return x\n",
        "use": "decimal.Decimal(x + 1) / decimal.Decimal(7)",
    },
    "bodies_of_classes": {
        "models.py": "import decimal\nclass Acting_N:\n    decimal.getcontext().prec = K + 1\n",
        "use": "decimal.Decimal(x + 1) / decimal.Decimal(7)",
    },
    "reducers": {
        "models.py": """
            import copyreg
            class Reduced_N:
                def __init__(self, k): self.k = k
            copyreg.pickle(Reduced_N, lambda one: (Reduced_N, (0,)))
            class Number_N(int):
                def __reduce__(self): return (Number_N, (0,))
            class List_N(list):
                def __reduce__(self): return (List_N, ())
            reduced_N, number_N, list_N = Reduced_N(K), Number_N(K), List_N([K, K])
            """,
        "use": "[models.reduced_N.k + x, int(models.number_N), list(models.list_N)]",
    },
    "generators": {
        "mid.py": """
            def gives_N(x):
                for i in range(3):
                    got = yield x + i * K
                yield from (j + K for j in range(2))
            def outer_N(x):
                total = K
                def add(y):
                    nonlocal total
                    total += y + K
                    return total
                class Local:
                    '''Says what.'''
                    at = K
                    def go(self): return add(x) + self.at
                return Local().go()
            """,
        "use": "[list(mid.gives_N(x)), mid.outer_N(x)]",
    },
    "data_file": {
        "data.txt": "K",
        "use": "pathlib.Path(__file__).with_name('data.txt').read_text() + str(x)",
    },
    "even_odd": {
        "deep.py": """
            def even_N(x): return K if x <= 0 else odd_N(x - 1)
            def odd_N(x): return K if x <= 0 else even_N(x - 1)
            def pair_N(by):
                def one(x): return two(x - 1) if x > 0 else by
                def two(x): return one(x - 1) if x > 0 else -by
                return one, two
            first_N, second_N = pair_N(K), pair_N(K + 1)
            CHOSEN_N = [first_N[0], second_N[1], first_N[1]]
            """,
        "use": "[deep.even_N(x), [g(x) for g in deep.CHOSEN_N]]",
    },
}

# What cannot be told beforehand: such a function has no digest, but a reason.
OPAQUE: dict[str, dict[str, str]] = {
    "global_write": {
        "mid.py": "COUNT_N = K\ndef count_N(x):\n    global COUNT_N\n    COUNT_N += x\n    return COUNT_N\n",
        "use": "mid.count_N(x)",
    },
    "module_write": {
        "settings.py": "WRITTEN_N = K\n",
        "mid.py": "def write_N(x):\n    settings.WRITTEN_N = x + K\n    return settings.WRITTEN_N\n",
        "use": "mid.write_N(x)",
    },
    "closure_write": {
        "mid.py": """
            def counter_N(n):
                def more(x):
                    nonlocal n
                    n += x
                    return n
                return more
            more_N = counter_N(K)
            """,
        "use": "mid.more_N(x)",
    },
    "globals": {"flow.py": "def named_N(x): return x + K\n", "use": "globals()['named' + '_N'](x)"},
    "eval": {"deep.py": "HIDDEN_N = K\ndef evil_N(x): return eval('HID' + 'DEN_N') + x\n", "use": "deep.evil_N(x)"},
    "import_by_name": {
        "deep.py": "def dyn_N(x): return x + K\n",
        "use": "importlib.import_module(settings.__name__[:5] + 'deep').dyn_N(x)",
    },
    "docstring": {"deep.py": "def told_N(x):\n    'says K'\n    return x\n", "use": "deep.told_N.__doc__"},
    "annotation": {"deep.py": "def typed_N(x: 'K'):\n    return x\n", "use": "deep.typed_N.__annotations__"},
    "line": {"deep.py": "def placed_N(x):\n    return x\n", "use": "deep.placed_N.__code__.co_firstlineno"},
    "iterator": {"deep.py": "NEXT_N = iter([K, K, K, K, K])\n", "use": "next(deep.NEXT_N)"},
}


def project(chance: random.Random, features: Mapping[str, Mapping[str, str]] = FEATURES, most: int = 5) -> Project:
    """A package whose `flow.f` uses some features."""
    future = ("", "from __future__ import annotations\n")
    parts = {name: [chance.choice(future), head] for name, head in HEADS.items()}
    uses = []
    for number, name in enumerate(chance.sample(sorted(features), min(most, len(features)))):
        for file, text in features[name].items():
            filled = textwrap.dedent(text).replace("_N", f"_{number}")
            while "K" in filled:
                filled = filled.replace("K", str(chance.randint(1, 9)), 1)
            if file == "use":
                uses.append(filled)
            else:
                parts.setdefault(file, []).append(filled)
    flow = "def f(x):\n    out = []\n" + "".join(f"    out.append({use})\n" for use in uses) + "    return out\n"
    parts["flow.py"] += ["def nobody(x):\n    return x + 1\n", flow]
    return {"__init__.py": "", **{file: "".join(texts) for file, texts in parts.items()}}


class Answer(NamedTuple):
    """What a project comes to."""

    digest: FunctionDigest
    result: str


def answer(texts: Project, folder: Path) -> Answer:
    """Write a project into an empty folder and import it: its digest, and what it returns or raises."""
    place = folder / "shop"
    place.mkdir(parents=True)
    for name, text in texts.items():
        (place / name).write_text(text, encoding="utf-8")
    keeps, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    sys.path.insert(0, str(folder))
    before = decimal.getcontext().copy()
    try:
        importlib.invalidate_caches()
        f = importlib.import_module("shop.flow").f
        found = function_digest(f)
        return Answer(found, "\n".join(_outcome(f, x) for x in INPUTS))
    finally:
        decimal.setcontext(before)
        sys.path.remove(str(folder))
        sys.dont_write_bytecode = keeps
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


def _outcome(function: Callable[[int], Any], x: int) -> str:
    try:
        return repr(function(x))
    except Exception as error:
        return f"{type(error).__name__}: {error}"
