"""Recognition of withheld numbers: the words, keypad numbers and dummies that stand for a number nobody knows. Pure.

Sources: docs/taskrouter.md, "Withheld callers".
"""

from __future__ import annotations

import re

from enrich.customers.spelling import plain_word

# As carriers, switches and handsets say it.
_ENGLISH = """
    anonymous, restricted, unavailable, unknown, private, blocked, withheld, hidden, undisclosed, unlisted,
    no caller id, caller id blocked, id withheld, id restricted, no number, no id, not available, not provided,
    number not available, number unavailable, name unavailable, out of area, non published, withheld number,
    number withheld, number blocked, number hidden, private name, presentation restricted, payphone, pay phone,
    coin line, interaction with other service
"""
# As Android's telephone says "Unknown" and "Private number", and other words of carriers, by language.
_OTHER_LANGUAGES = """
    anonym, unbekannt, privat, unterdrückt, private nummer, unbekannte nummer, nummer unterdrückt,
    rufnummer unterdrückt, unbekannter anrufer, keine anrufer-id, anonymer anrufer, keine rufnummer,
    anonyme, inconnu, privé, masqué, numéro privé, numéro masqué, numéro inconnu, appel masqué, appel anonyme,
    appelant inconnu, aucun identifiant,
    anónimo, desconocido, privado, oculto, restringido, no disponible, número privado, número oculto,
    número desconocido, número restringido, sin identificador, llamada oculta,
    anônimo, desconhecido, número restrito, número desconhecido, não identificado, número não identificado, restrito,
    anonimo, sconosciuto, privato, nascosto, numero privato, numero nascosto, numero sconosciuto, numero anonimo,
    nessun id chiamante,
    anoniem, onbekend, afgeschermd, verborgen, privénummer, onbekend nummer, anoniem nummer, geheim nummer,
    anonimowy, nieznany, prywatny, zastrzeżony, numer prywatny, numer zastrzeżony, numer nieznany,
    ismeretlen, rejtett, privát, titkos, magántelefonszám, rejtett szám, ismeretlen szám, privát szám, titkos szám,
    okänd, okänt, dolt, skyddat, privat nummer, okänt nummer, dolt nummer, hemligt nummer, skyddat nummer,
    ukendt, hemmeligt nummer, ukendt nummer, skjult nummer, ukjent, ukjent nummer, hemmelig nummer,
    tuntematon, salainen numero, tuntematon numero,
    neznámý volající, neznámé, neznámý, soukromé číslo, skryté číslo, neznámé číslo, súkromné číslo,
    bilinmiyor, bilinmeyen, gizli, gizli numara, bilinmeyen numara, özel numara,
    неизвестный, неизвестный абонент, неизвестный номер, неизвестно, скрыт, скрытый номер, номер скрыт, аноним,
    невідомий, приватний номер, прихований номер, невідомий номер,
    άγνωστος, άγνωστο, απόκρυψη, άγνωστος αριθμός, απόρρητος αριθμός,
    通知不可能, 非通知, 非通知設定, 表示圏外, 公衆電話, 公衆電話発信,
    未知, 未知号码, 私密号码, 私人号码, 隐藏号码, 匿名, 不明, 私人號碼, 未知號碼, 隱藏號碼, 未知來電,
    无来电显示, 無來電顯示,
    알 수 없음, 비공개 번호, 발신번호 표시제한, 발신자 정보 없음,
    غير معروف, رقم خاص, مجهول, محجوب, رقم مجهول, رقم محجوب,
    לא ידוע, מספר פרטי, חסוי, מספר חסוי,
    necunoscut, număr privat, număr ascuns, nepoznato, privatni broj, skriveni broj, desconegut, número privat
"""
_WORDS = frozenset(plain_word(word) for word in f"{_ENGLISH},{_OTHER_LANGUAGES}".split(","))
# Suffixes that handsets and carriers add: "Unknown Caller", "Restricted Number".
_SUFFIXES = ("callerid", "caller", "number", "call")

_KEYPAD = str.maketrans("abcdefghijklmnopqrstuvwxyz", "22233344455566677778889999")
# The same words on a keypad: +266696687 is ANONYMOUS, and would be a number of Lesotho.
_KEYPAD_NUMBERS = frozenset(
    word.translate(_KEYPAD) for word in ("anonymous", "restricted", "unavailable", "unknown", "private", "blocked")
)

# Digits that are nobody's number, alone or behind country and area code: nothing but zeros, seven zeros at the end, and
# the digits counted up or down.
_DUMMY_DIGITS = re.compile(r"00+|\d{0,7}0{7,}|\d{0,5}?(?:0?1234567890?|0?9876543210?)")
# Nothing but one digit, as long as a number is, perhaps with a trunk prefix.
_ONE_DIGIT = re.compile(r"0*(\d)\1{6,}")


def is_withheld_word(text: str) -> bool:
    """Return True for a word such as "Anonymous" or "No Caller ID", in any case, or that word on a keypad."""
    name = plain_word(text)
    word = next((name.removesuffix(suffix) for suffix in _SUFFIXES if name.endswith(suffix)), name)
    return name in _WORDS or word in _WORDS or is_keypad_word(name)


def is_keypad_word(digits: str) -> bool:
    """Return True for a word such as ANONYMOUS on a keypad. digits: of the whole number, with or without 00."""
    return digits.lstrip("0") in _KEYPAD_NUMBERS


def is_dummy(digits: str) -> bool:
    """Return True for digits that stand for a hidden or an unknown number: 0000000000, 1111111111, 1234567890.

    digits: of the whole number, or of its national part.
    """
    return bool(_DUMMY_DIGITS.fullmatch(digits) or _ONE_DIGIT.fullmatch(digits))
