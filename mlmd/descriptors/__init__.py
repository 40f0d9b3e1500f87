"""What a structure looks like in numbers: the features that diffusivity is predicted from.

The features are those of Table 1 of Zheng et al. 2024 (doi:10.1038/s41524-024-01469-2); twenty
of the structural ones are Sendek et al. 2017 (doi:10.1039/C6EE02697D). `FEATURES` lists them
with definition, unit and how far the definition is proven; `featurize` computes them.

May import `arrays`, `bounds`, `checks`, `csv_cells`, `errors`, `files`, `periodic`, `plain`,
`processes`, `structure`, `trajectory`.
"""

from __future__ import annotations

from mlmd.descriptors.conventions import CONVENTIONS, Convention
from mlmd.descriptors.elements import ElementTable
from mlmd.descriptors.features import FEATURES, Feature
from mlmd.descriptors.featurize import featurize
from mlmd.descriptors.table import FeatureTable

__all__ = [
    "CONVENTIONS",
    "FEATURES",
    "Convention",
    "ElementTable",
    "Feature",
    "FeatureTable",
    "featurize",
]
