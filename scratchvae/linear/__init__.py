"""Linear models in scikit-learn's conventions: two classifiers, five models X ~ A B, and a mixture of Gaussians.

They cover the first half of the course deck, which the docstring of `scratchvae` introduces.
"""

from scratchvae.linear.estimator import ConvergenceWarning
from scratchvae.linear.factor_analysis import FactorAnalysis
from scratchvae.linear.gaussian_mixture import GaussianMixture
from scratchvae.linear.ica import FastICA
from scratchvae.linear.logistic_regression import LogisticRegression
from scratchvae.linear.naive_bayes import GaussianNaiveBayes
from scratchvae.linear.nmf import NMF
from scratchvae.linear.pca import PCA
from scratchvae.linear.ppca import PPCA

__all__ = [
    "NMF",
    "PCA",
    "PPCA",
    "ConvergenceWarning",
    "FactorAnalysis",
    "FastICA",
    "GaussianMixture",
    "GaussianNaiveBayes",
    "LogisticRegression",
]
