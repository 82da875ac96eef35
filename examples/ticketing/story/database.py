"""Reads the database of a service from outside, without asking the service. Its form: common/database.js."""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import unquote

Document = dict[str, Any]
Contents = dict[str, dict[str, list[Document]]]


class Database:
    """The directory of one service, shared by its instances."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def contents(self) -> Contents:
        """All versions of all documents: collection, id, then the versions in order."""
        return {
            collection.name: {
                unquote(document.name): versions
                for document in sorted(collection.iterdir())
                if (versions := _versions(document))
            }
            for collection in sorted(self.directory.iterdir())
            if collection.name != "tmp"
        }

    def versions(self, collection: str, document_id: str) -> list[Document]:
        """All versions of one document, in order."""
        return self.contents().get(collection, {}).get(document_id, [])

    def latest(self, collection: str) -> dict[str, Document]:
        """The newest version of every document of a collection."""
        return {key: versions[-1] for key, versions in self.contents().get(collection, {}).items()}

    def delete(self) -> None:
        """All is lost; the service must not run."""
        shutil.rmtree(self.directory)


def _versions(document: Path) -> list[Document]:
    files = sorted(document.glob("*.json"), key=lambda file: int(file.stem))
    return [json.loads(file.read_text())["document"] for file in files]


def summary(contents: Contents) -> str:
    """Two databases have the same summary if they have the same content."""
    filled = {collection: documents for collection, documents in contents.items() if documents}
    parts = [
        f"{len(documents)} {collection} in {sum(map(len, documents.values()))} versions"
        for collection, documents in filled.items()
    ]
    digest = hashlib.sha256(json.dumps(filled, sort_keys=True).encode()).hexdigest()[:12]
    return f"{', '.join(parts)}, content {digest}" if parts else "nothing"
