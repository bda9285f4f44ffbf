"""The methods of both clients, each made of the function that builds its call."""

from stl_snn_client.calls import files, health, jobs, predicting
from stl_snn_client.calls import models as versions
from stl_snn_client.methods import ListMethod, Method


class ServiceApi:
    """Predictions, models and health."""

    predict = Method(predicting.predict)
    models = Method(versions.list_models)
    model = Method(versions.get_model)
    version = Method(versions.get_version)
    promote = Method(versions.promote)
    load = Method(versions.load)
    unload = Method(versions.unload)
    delete = Method(versions.delete)
    history = ListMethod(versions.history)
    health = Method(health.health)


class FilesApi:
    """Data sets for fine-tuning."""

    upload = Method(files.upload)
    list = ListMethod(files.list_files)
    get = Method(files.get)
    content = Method(files.content)
    delete = Method(files.delete)


class JobsApi:
    """Fine-tuning jobs."""

    create = Method(jobs.create)
    retrieve = Method(jobs.retrieve)
    list = ListMethod(jobs.list_jobs)
    cancel = Method(jobs.cancel)
    resume = Method(jobs.resume)
    delete = Method(jobs.delete)
    past_events = ListMethod(jobs.past_events)
    checkpoints = ListMethod(jobs.checkpoints)
