"""What lines above the samples of a CSV file state of them: sampling rate, unit, and the lead of a file of one."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from lfbt.errors import UnreadableError
from lfbt.recording import STANDARD_LEADS, check_sampling_rate, lead_name

_NUMBER = r"(?P<number>\d+(?:[.,]\d+)?(?:e[+-]?\d+)?)"
# Words for the sampling rate, in the languages of many devices; a mere frequency only where it begins the line.
_RATE_WORDS = (
    r"sampl(?:e|es|ing)?[ _-]*(?:rate|freq(?:uency)?)|samples[ _]*(?:per|/)[ _]*s(?:ec(?:ond)?)?|fs|sfreq|srate"
    r"|(?:abtast|mess|takt|sampling)[ _-]*(?:rate|frequenz)|(?:fr[eé]quence|taux) d.[eé]chantillonnage"
    r"|(?:frecuencia|tasa) de muestreo|(?:frequ[eê]ncia|taxa) de amostragem|frequenza di campionamento"
    r"|bemonsterings?\w*|cz[eę]stotliwo[sś][cć] pr[oó]bkowania|частота дискретизации"
    r"|采样[频速]?率|サンプリング(?:周波数|レート)"
)
_HZ = r"(?P<kilo>k)?(?:hz|hertz|sps|samples?\W?(?:/|per)\W?s(?:ec(?:ond)?)?|1/s|/s)?"
# After the value the line ends, or goes on behind a separator with something else.
_END = r"(?=[\W_]*$|\s*[,;\t]\s*[^\W\d]|[,;]\s+\S)"
_BEFORE = r"(?P<before>[^\d\w]*(?:_?k?hz)?[\W_]*)"
_RATE = re.compile(rf"(?<![^\W\d_])(?:{_RATE_WORDS}){_BEFORE}{_NUMBER}[\W_]*?{_HZ}{_END}", re.IGNORECASE)
_FREQUENCY = re.compile(
    rf"^\W*(?:freq|fr[eé]quen(?:cy|ce|z|za)|frecuencia|frequ[eê]ncia)(?!\w){_BEFORE}{_NUMBER}[\W_]*?{_HZ}{_END}",
    re.IGNORECASE,
)
# Mains have 50 or 60 Hz.
_ABOVE_MAINS = 100.0
_INTERVAL = re.compile(
    r"(?<![^\W\d_])(?:sampl(?:e|ing)[ _-]*(?:interval|period)|abtast(?:intervall|periode)|dt"
    r"|(?:p[eé]riode|intervalle) d.[eé]chantillonnage|(?:per[ií]odo|intervalo) de (?:muestreo|amostragem))"
    rf"[^\d\w]*(?P<unit>[mµμu]?s)?[\W_]*{_NUMBER}\s*(?P<after>[mµμu]?s(?:ec)?)?[\W_]*$",
    re.IGNORECASE,
)
_SECONDS = {"s": 1.0, "sec": 1.0, "ms": 1e-3, "msec": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6}
_VOLTAGE = r"[mµμun]?v|(?:milli|micro|mikro|nano)[ -]?volts?|volts?"
_UNIT = re.compile(
    r"(?:\b(?:units?|(?:ma(?:ß|ss))?einheit(?:en)?|unit[eéà]s?|unidad(?:e?s|e)?|eenheid|jednostka|amplitudes?)\b"
    r"|\b(?:values?|voltages?|signals?|samples|data|werte|spannung(?:en)?)\b[^\d]{0,20}\bin\b|单位|単位|^(?!\W*v\W*$))"
    rf"[^\w/]*(?:in\s+)?(?P<unit>{_VOLTAGE})(?:[^\w/]+(?P=unit))*\W*$",
    re.IGNORECASE,
)
_COUNT = "(?:adu|counts?|lsb|bits?|digits?|steps?|units?)"
_PER = r"\s*(?:/|per)\s*"
_SCALE = "scal(?:e|ing)(?:[ _]?factor)?"
_A_COUNT = r"(?P<unit>[mµμun]v)"
_VOLTS_A_COUNT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:lsb|(?:amplitude[ _]?)?resolution|auflösung|sensitivity|{_SCALE})\b[^\w\d]*{_NUMBER}\s*"
        rf"{_A_COUNT}\b(?!\s*/\s*(?:mm|cm|div))",
        rf"{_NUMBER}\s*{_A_COUNT}{_PER}{_COUNT}\b",
        rf"\b{_A_COUNT}{_PER}{_COUNT}\b[^\d]*{_NUMBER}",
    )
]
_COUNTS_A_VOLT = [
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"(?:\bgain\b[^\w\d]*{_NUMBER}\s*{_COUNT}?)\s*/\s*{_A_COUNT}\b",
        rf"{_NUMBER}\s*{_COUNT}{_PER}{_A_COUNT}\b",
        rf"\b{_COUNT}{_PER}{_A_COUNT}\b[^\d]*{_NUMBER}",
    )
]
_PLAIN_GAIN = re.compile(
    rf"\b(?:gain|{_SCALE}|conversion[ _]?factor|multiplier|resolution)\b[^\w\d]*x?{_NUMBER}\W*$", re.IGNORECASE
)
# What else has a frequency or a rate in a file of an ECG, and the scales of its print.
_OTHER_RATES = re.compile(
    r"filt|band|pass|notch|mains|netz|power|cut.?off|corner|grenz|coupure|corte|\b(?:line|high|low|[hlb]pf?|ac|mm)\b"
    r"|heart|herz|puls|\b[hv]r\b|bpm|card|rhythm|ventric|atrial|resp|breath|baud|bit ?rate|hum|muscle|stim|pac(?:e|ing)"
    r"|frame|refresh|limit|alias|carrier|butterworth|bessel|cheby|\b(?:max|min|fmax|fc|fg|bw)\b",
    re.IGNORECASE,
)
_RANGE = re.compile(r"\d\s*(?:k?hz)?\s*(?:[-–~…]|\.\.+|to|bis|à)\s*[\d.,]+\s*k?hz", re.IGNORECASE)
_IN_HZ = re.compile(
    rf"(?<![\w.,]){_NUMBER}\s*(?P<kilo>k)?(?:(?:hz|hertz)\b|(?P<samples>sps\b|samples?\W?(?:/|per)\W?s))", re.IGNORECASE
)
_LABELLED = re.compile(rf"^(?P<label>\D*[^\W\d_]\D*){_NUMBER}\W*$")
_BARE_INTERVAL = re.compile(
    rf"^\W*(?:time[ _-]*)?(?:interval|period|step|ts)\W*{_NUMBER}\s*(?P<after>[mµμu]?s(?:ec)?)?\W*$", re.IGNORECASE
)
# No heart beats so often in a minute.
_ABOVE_HEARTS = 240.0
_LEAD = re.compile(
    r"^\W*(?:leads?|ableitung|d[eé]rivation|derivaci[oó]n|deriva[cç][aã]o|derivazione)\W*[,;:=\t]\W*(.+)$", re.I
)
_ONE_NUMBER = re.compile(r'"?[+-]?(?P<whole>\d+)(?:(?P<sign>[.,])\d+)?"?[;\s]*')


def find_stated(path: Path, lines: Sequence[str]) -> tuple[float | None, str]:
    """Find the sampling rate in Hz and the unit that lines above the samples state; None and empty where they do not.

    Raises UnreadableError if two lines differ.

    >>> find_stated(Path("a.csv"), ["Sample Rate,512.414 hertz", "Unit,µV"])
    (512.414, 'µV')
    >>> find_stated(Path("a.csv"), ["Abtastintervall: 4 ms", "Filter: 0.05-150 Hz"])
    (250.0, '')
    """
    rates = {rate for line in lines if (rate := _rate(line)) is not None}
    units = {unit.lower(): unit for line in lines if (unit := _unit(line))}
    for what, found in (("sampling rates", sorted(rates)), ("units", sorted(units))):
        if len(found) > 1:
            raise UnreadableError(
                f"file {path}: the lines above its samples state two {what}, {found[0]} and {found[1]}"
            )
    return next(iter(rates), None), next(iter(units.values()), "")


def find_gain(lines: Sequence[str]) -> str:
    """Find the gain of counts that lines above the samples state, as a unit; empty if none does.

    >>> find_gain(["Resolution: 5 uV/bit"]), find_gain(["Gain: 200 adu/mV"]), find_gain(["Gain: 10 mm/mV"])
    ('0.2/uV', '200/mV', '')
    """
    for line in lines:
        if (match := _first(_VOLTS_A_COUNT, line)) and (volts := _number(match)):
            return f"{float(f'{1 / volts:.6g}')}/{match['unit']}".replace(".0/", "/")
        if match := _first(_COUNTS_A_VOLT, line):
            return f"{match['number'].replace(',', '.')}/{match['unit']}"
    return ""


def find_plain_gain(lines: Sequence[str]) -> float | None:
    """Find a gain or scale that lines above the samples state without a unit; None if none does, or it is 1.

    >>> find_plain_gain(["ADC gain: 200"]), find_plain_gain(["Gain: 10 mm/mV"]), find_plain_gain(["Resolution: 16"])
    (200.0, None, None)
    """
    for line in lines:
        if match := _PLAIN_GAIN.search(line):
            gain = _number(match)
            # A resolution in whole numbers is one in bits.
            if gain not in (0, 1) and not ("resolution" in match[0].lower() and gain % 1 == 0):
                return gain
    return None


def find_likely_rates(lines: Sequence[str]) -> list[float]:
    """Find what may be a sampling rate in Hz in lines above the samples, in whatever words.

    Values of 50 and 60 Hz, and those beside words for filters and for the heart, are none. A number without a unit is
    one after a word for sampling, or above what hearts do after the word rate.

    >>> find_likely_rates(["# ECG, 250 Hz, filter 150 Hz", "Rate: 360", "0.05-150 Hz", "25 mm/s 150 Hz", "Rate: 110"])
    [250.0, 360.0]
    """
    return [rate for line in lines for part in re.split(r"[,;|\t](?=\s*[^\W\d_])", line) for rate in _likely(part)]


def _likely(part: str) -> list[float]:
    """The likely sampling rates in a part of a line that says one thing."""
    if _OTHER_RATES.search(part):
        return []
    rates = [
        (_number(match) * (1000 if match["kilo"] else 1), 0 if match["samples"] else _ABOVE_MAINS)
        for match in _IN_HZ.finditer(_RANGE.sub("", part))
    ]
    if not rates and (match := _LABELLED.match(part)):
        words = set(re.findall(r"[^\W\d_]+", match["label"].lower()))
        if words & {"sampling", "sampled", "sr", "hz", "khz", "sps", "acquisition"}:
            rates = [(_number(match) * (1000 if "khz" in words else 1), _ABOVE_MAINS)]
        elif "rate" in words:
            rates = [(_number(match), _ABOVE_HEARTS)]
    if not rates and (match := _BARE_INTERVAL.match(part)) and (rate := _rate_of_interval(match, match["after"])):
        rates = [(rate, _ABOVE_MAINS)]
    return [rate for rate, lowest in rates if rate >= lowest and _is_rate(rate)]


def find_one_lead(lines: Sequence[str]) -> tuple[str, int] | None:
    """Find the lead that a line above states where each line after it is one number, as in the ECGs of a watch.

    Returns
    -------
    tuple of str and int, or None
        Its name, and how many lines stand above the samples. A number may have a decimal comma; numbers that rise
        before each comma are a column of their own.

    Examples
    --------
    >>> find_one_lead(["Lead,Lead I", "Unit,µV", "12.5", "-3"])
    ('I', 2)
    >>> find_one_lead(["Lead,Lead I", "1,12", "2,13"])
    """
    stated = [
        (place, lead_name(match[1].strip(' "'))) for place, line in enumerate(lines) if (match := _LEAD.match(line))
    ]
    if len(stated) != 1 or stated[0][1] not in STANDARD_LEADS:
        return None
    place, lead = stated[0]
    begin = next((row for row in range(place + 1, len(lines)) if not _unit(lines[row])), len(lines))
    numbers = [_ONE_NUMBER.fullmatch(line.strip()) for line in lines[begin:]]
    found = [number for number in numbers if number]
    if not found or len(found) < len(numbers):
        return None
    whole = [int(number["whole"]) for number in found]
    rises = all(before < after for before, after in itertools.pairwise(whole))
    return None if rises and any(number["sign"] == "," for number in found) else (lead, begin)


def _rate(line: str) -> float | None:
    """The sampling rate in Hz that a line states; None if it states none."""
    if match := _RATE.search(line):
        return _number(match) * (1000 if match["kilo"] or "khz" in match["before"].lower() else 1)
    if match := _FREQUENCY.search(line):
        rate = _number(match) * (1000 if match["kilo"] or "khz" in match["before"].lower() else 1)
        return rate if rate >= _ABOVE_MAINS else None
    match = _INTERVAL.search(line)
    return _rate_of_interval(match, match["after"] or match["unit"]) if match else None


def _rate_of_interval(match: re.Match[str], unit: str | None) -> float | None:
    """The rate in Hz of an interval in `unit`; without one, if it may be of an ECG as seconds or milliseconds only."""
    interval = _number(match)
    if not interval:
        return None
    scales = [_SECONDS[unit.lower()]] if unit else [scale for scale in (1.0, 1e-3) if _is_rate(1 / (interval * scale))]
    return round(1 / (interval * scales[0]), 6) if len(scales) == 1 else None


def _first(patterns: Iterable[re.Pattern[str]], line: str) -> re.Match[str] | None:
    return next((match for pattern in patterns if (match := pattern.search(line))), None)


def _is_rate(rate: float) -> bool:
    try:
        check_sampling_rate(rate)
    except ValueError:
        return False
    return True


def _number(match: re.Match[str]) -> float:
    return float(match["number"].replace(",", "."))


def _unit(line: str) -> str:
    """The unit of voltage that a line states, by its symbol; empty if it states none."""
    match = _UNIT.search(line)
    if not match:
        return ""
    unit = match["unit"]
    word = re.sub("[ -]", "", unit.lower())
    return {"milli": "mV", "micro": "uV", "mikro": "uV", "nano": "nV", "volt": "V"}.get(
        re.sub("volts?$", "", word) or "volt", unit
    )
