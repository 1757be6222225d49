"""Slicer's module SampleData as strict as its sources are, from 5.8 to 5.13: what one of them refuses is refused here."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any


class SampleDataSource:
    """What is registered. All lists must have the length of `uris`; a string stands for one file."""

    def __init__(
        self,
        sampleName: str | None = None,
        uris: Any = None,
        fileNames: Any = None,
        nodeNames: Any = None,
        checksums: Any = None,
        loadFiles: Any = None,
        customDownloader: Callable[[Any], Any] | None = None,
        thumbnailFileName: str | None = None,
    ) -> None:
        if isinstance(uris, str):
            uris, fileNames, nodeNames, loadFiles, checksums = [uris], [fileNames], [nodeNames], [loadFiles], [checksums]
        lists = {"fileNames": fileNames, "nodeNames": nodeNames, "loadFiles": loadFiles, "checksums": checksums}
        for name in ("nodeNames", "loadFiles", "checksums"):
            if isinstance(uris, (list, tuple)) and lists[name] is None:
                lists[name] = [None] * len(uris)
        lengths = {name: len(values) for name, values in {"uris": uris, **lists}.items()}  # TypeError without uris, as in Slicer
        if len(set(lengths.values())) != 1:
            raise ValueError(f"All fields of sample data source must have the same length: {lengths}")
        self.uris, self.sampleName, self.customDownloader, self.thumbnailFileName = uris, sampleName, customDownloader, thumbnailFileName
        self.fileNames, self.nodeNames, self.loadFiles, self.checksums = lists.values()


def make_module(modules: Any) -> types.ModuleType:
    """The module; what is registered goes into `modules.sampleDataSources`, category → list of sources."""

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(
            category="Custom", sampleName=None, uris=None, fileNames=None, nodeNames=None, customDownloader=None, thumbnailFileName=None,
            loadFiles=None, checksums=None,
        ):  # fmt: skip
            """With the arguments that every version knows: `loadFileType` is called `loadFileTypes` in newer ones."""
            if not hasattr(modules, "sampleDataSources"):
                modules.sampleDataSources = {}
            source = SampleDataSource(
                sampleName, uris, fileNames, nodeNames, checksums, loadFiles, customDownloader, thumbnailFileName
            )  # fmt: skip
            modules.sampleDataSources.setdefault(category, []).append(source)

    made = types.ModuleType("SampleData")
    made.SampleDataSource, made.SampleDataLogic = SampleDataSource, SampleDataLogic
    return made
