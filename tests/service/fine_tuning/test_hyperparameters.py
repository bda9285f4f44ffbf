import pytest

from service.fine_tuning.hyperparameters import BATCH_SIZE, N_EPOCHS, auto_batch_size, auto_epochs


@pytest.mark.parametrize(("samples", "epochs"), [(4, 40), (750, 40), (1437, 21), (10_000, 3), (1_000_000, 3)])
def test_fewer_samples_are_seen_more_often(samples: int, epochs: int) -> None:
    assert auto_epochs(samples) == epochs
    assert epochs in N_EPOCHS


@pytest.mark.parametrize(("samples", "size"), [(4, 8), (400, 20), (1000, 50), (1_000_000, 50)])
def test_a_small_data_set_has_small_batches(samples: int, size: int) -> None:
    assert auto_batch_size(samples) == size
    assert size in BATCH_SIZE
