import pytest

from contract.errors import InvalidEvents, TooManyEvents
from contract.events import read_events


@pytest.mark.parametrize(
    "data",
    [
        b"t,x,y,p\n3,1,2,1\n9,5,6,0\n",
        b"t,x,y,p\r\n3,1,2,1\r\n9,5,6,0",
        b"\xef\xbb\xbf T , X , Y , P \n 3,\t1 ,2,1\n9,5,6,0\n\n",
        b'"p","y","x","t"\n1,2,1,3\n0,6,5,9\n',
    ],
)
def test_columns_are_found_by_their_names(data: bytes) -> None:
    assert read_events(data, max_events=2).tolist() == [[3, 1, 2, 1], [9, 5, 6, 0]]


def test_times_up_to_the_limit_are_read_exactly() -> None:
    data = f"t,x,y,p\n{2**62 - 1},0,0,0\n".encode()
    assert read_events(data, max_events=1)[0, 0] == 2**62 - 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"t,x,y,p\n", "no events"),
        (b"t,x,y,p", "no events"),
        (b"t,x,y,p\n1,2,3,1\n4,5,6\n", "line 3 is not four integers: '4,5,6'"),
        (b"t,x,y,p\n1,2,3,1,9\n", "line 2 is not four integers"),
        (b"t,x,y,p\n1.0,2,3,1\n", "line 2 is not four integers"),
        (b"t,x,y,p\n1,2,3,true\n", "line 2 is not four integers"),
        (b"t,x,y,p\n1,2,3,1\n\n4,5,6,0\n", "line 3 is not four integers: ''"),
        (b"t,x,y,p\n1,2,3,nan\n", "line 2 is not four integers"),
        (b"t,x,y,p\n-1,2,3,1\n", "event 0: t is -1"),
        (b"t,x,y,p\n9999999999999999999,2,3,1\n", "does not fit into 64 bits"),
        (b"t,x,y,p\n99999999999999999999,2,3,1\n", "line 2 is not four integers"),
        (f"t,x,y,p\n{2**62},2,3,1\n".encode(), "below 2\\^62"),
        (b"t,x,y,p\n1,2,3,2\n", "event 0: p is 2; it must be 0 to 1"),
        (b"t,x,y,p\n5,2,3,1\n4,2,3,1\n", "event 1: its time 4 µs is earlier than"),
    ],
)
def test_a_broken_csv_recording_is_refused(data: bytes, message: str) -> None:
    with pytest.raises(InvalidEvents, match=message):
        read_events(data, max_events=100)


@pytest.mark.parametrize("choice", [{"filename": "events.csv"}, {"format": "csv"}])
def test_csv_without_a_line_of_names_has_the_order_t_x_y_p(choice: dict[str, str]) -> None:
    assert read_events(b"3,1,2,1\n9,5,6,0\n", max_events=2, **choice).tolist() == [[3, 1, 2, 1], [9, 5, 6, 0]]  # type: ignore[arg-type]
    with pytest.raises(InvalidEvents, match="line 2 is not four integers"):
        read_events(b"3,1,2,1\n9,5,6\n", max_events=2, **choice)  # type: ignore[arg-type]
    with pytest.raises(InvalidEvents, match="the first line must name the columns"):
        read_events(b"3 1 2 1\n", max_events=2, **choice)  # type: ignore[arg-type]


def test_other_softwares_names_and_polarities_are_understood() -> None:
    assert read_events(b"timestamp,x,y,polarity\n3,1,2,1\n9,5,6,-1\n", max_events=2).tolist() == [
        [3, 1, 2, 1],
        [9, 5, 6, 0],
    ]
    with pytest.raises(InvalidEvents, match="event 1: p is -1"):
        read_events(b"t,x,y,p\n1,2,3,0\n2,2,3,-1\n", max_events=100)


def test_csv_of_more_lines_than_allowed_is_refused() -> None:
    data = b"t,x,y,p\n" + b"1,2,3,1\n" * 3
    assert len(read_events(data, max_events=3)) == 3
    with pytest.raises(TooManyEvents):
        read_events(data, max_events=2)
