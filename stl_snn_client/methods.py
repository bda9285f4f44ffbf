"""Methods that are made of calls: written once, they wait in `Client` and are coroutines in `AsyncClient`."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from functools import wraps
from typing import Any, Generic, ParamSpec, Protocol, Self, TypeVar, overload

from stl_snn_client.answers import Page
from stl_snn_client.call import Call

P = ParamSpec("P")
T = TypeVar("T")


class Sender(Protocol):
    """What sends calls and waits for the answers."""

    def send(self, call: Call[T]) -> T:
        """The answer to a call."""

    def pages(self, call: Call[Page[T]]) -> Iterator[T]:
        """The items of a list, whose pages are fetched when they are needed."""


class AsyncSender(Protocol):
    """The same with coroutines."""

    def send(self, call: Call[T]) -> Coroutine[Any, Any, T]:
        """The answer to a call."""

    def pages(self, call: Call[Page[T]]) -> AsyncIterator[T]:
        """The items of a list, whose pages are fetched when they are needed."""


class Method(Generic[P, T]):
    """A method that returns the answer to the call which `build` makes of its arguments."""

    def __init__(self, build: Callable[P, Call[T]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, sender: None, owner: type) -> Self: ...
    @overload
    def __get__(self, sender: AsyncSender, owner: type) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def __get__(self, sender: Sender, owner: type) -> Callable[P, T]: ...
    def __get__(self, sender: Any, owner: type) -> Any:
        if sender is None:
            return self

        @wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return sender.send(self._build(*args, **kwargs))

        return method


class ListMethod(Generic[P, T]):
    """A method that iterates over all items of the list whose first page the call of `build` fetches."""

    def __init__(self, build: Callable[P, Call[Page[T]]]) -> None:
        self._build = build
        self.__doc__ = build.__doc__

    @overload
    def __get__(self, sender: None, owner: type) -> Self: ...
    @overload
    def __get__(self, sender: AsyncSender, owner: type) -> Callable[P, AsyncIterator[T]]: ...
    @overload
    def __get__(self, sender: Sender, owner: type) -> Callable[P, Iterator[T]]: ...
    def __get__(self, sender: Any, owner: type) -> Any:
        if sender is None:
            return self

        @wraps(self._build)
        def method(*args: P.args, **kwargs: P.kwargs) -> Any:
            return sender.pages(self._build(*args, **kwargs))

        return method
