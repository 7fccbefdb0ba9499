"""The Laplacian of the sphere."""

import numpy as np
import pytest

import dasksor


def grid(points):
    latitude = -90.0 + (np.arange(180 * points) + 0.5) / points
    longitude = (np.arange(360 * points) + 0.5) / points
    return np.deg2rad(latitude)[:, None], np.deg2rad(longitude)


def error(points):
    """Of the discrete operator on a harmonic of degree 3, whose eigenvalue is 12."""
    theta, phi = grid(points)
    harmonic = np.cos(theta) ** 2 * np.sin(theta) * np.cos(2.0 * phi)
    A = dasksor.problems.sphere(np.rad2deg(theta[:, 0]), np.ones(harmonic.shape, dtype=bool))
    scale = np.cos(theta) * np.deg2rad(1.0 / points) ** 2
    found = (A @ harmonic.ravel()).reshape(harmonic.shape) / scale
    return np.abs(found - 12.0 * harmonic)[abs(np.rad2deg(theta[:, 0])) < 60.0].max()


def test_a_spherical_harmonic_is_an_eigenfunction_to_second_order():
    coarse, fine = error(1), error(2)
    assert fine < 0.01
    assert coarse / fine == pytest.approx(4.0, rel=0.05)


def test_a_mask_leaves_rows_and_columns_out():
    latitude = np.linspace(60.0, -50.0, 12)
    wet = np.random.default_rng(3).random((12, 9)) < 0.6
    whole = dasksor.problems.sphere(latitude, np.ones_like(wet)).toarray()
    A = dasksor.problems.sphere(latitude, wet).toarray()
    assert np.array_equal(A, whole[wet.ravel()][:, wet.ravel()])
    assert np.array_equal(A, A.T)
    assert np.linalg.eigvalsh(A).min() > 0


@pytest.mark.parametrize(
    ("latitude", "wet", "words"),
    [
        ([0.0, 1.0, 2.0], np.ones((2, 4)), "shape"),
        ([0.0, 1.0, 2.0], np.zeros((3, 4)), "true somewhere"),
        ([0.0, 1.0, 3.0], np.ones((3, 4)), "evenly spaced"),
        ([88.0, 89.0, 90.0], np.ones((3, 4)), "leave the poles out"),
    ],
)
def test_grids_that_are_none(latitude, wet, words):
    with pytest.raises(ValueError, match=words):
        dasksor.problems.sphere(latitude, wet)
