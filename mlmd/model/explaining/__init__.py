"""Why a model predicts what it does: importance, SHAP, correlations, learning and loss curves.

May import `arrays`, `checks`, `descriptors`, `errors`, `model/data`, `model/extra`,
`model/fitting`, `model/regressors`, `model/validation`, `plain`.
"""
