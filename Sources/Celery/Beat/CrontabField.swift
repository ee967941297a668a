/// One field of a crontab, expanded to its numbers exactly as Celery does, with all that it lets pass.
///
/// Celery's patterns match the beginning of a part, so that anything may trail a range or a step (`*/5 `, `1-5 x`), and
/// single numbers are what Python's `int()` takes: with blanks around them, a sign, `1_0`, or the digits of any script.
/// Source: celery/schedules.py, `crontab_parser`.
struct CrontabField {
    private let range: ClosedRange<Int>

    /// - Parameter range: the numbers that the field may have.
    init(_ range: ClosedRange<Int>) {
        self.range = range
    }

    /// The numbers of a text, number n as bit n; nil where Celery raises an error.
    func numbers(_ text: String) -> UInt64? {
        var set: UInt64 = 0
        for part in text.unicodeScalars.split(separator: ",", omittingEmptySubsequences: false) {
            guard let numbers = expand(part) else { return nil }
            for number in numbers { set |= 1 << UInt64(number) }
        }
        return set
    }

    /// `n`, `*`, `n-m`, and the last two with `/step`. A range may wrap around: `22-3`, `fri-mon`.
    private func expand(_ part: Substring.UnicodeScalarView) -> [Int]? {
        if part.first == "*" {
            let rest = part.dropFirst()
            if rest.first == "/" { return every(rest.dropFirst(), of: Array(range)) }
            // Python's `$` matches before a newline at the end, too.
            return rest.isEmpty || rest.elementsEqual(["\n"]) ? Array(range) : nil
        }
        let first = part.prefix(while: isWordCharacter)
        let afterFirst = part[first.endIndex...]
        let last = afterFirst.dropFirst().prefix(while: isWordCharacter)
        guard !first.isEmpty, afterFirst.first == "-", !last.isEmpty else { return number(part).map { [$0] } }
        guard let first = number(first), let end = number(last) else { return nil }
        let span = first <= end ? Array(first...end) : Array(first...range.upperBound) + Array(range.lowerBound...end)
        let rest = part[last.endIndex...]
        return rest.first == "/" ? every(rest.dropFirst(), of: span) : span
    }

    /// Every so many of the numbers; what trails the step does not matter.
    private func every(_ text: Substring.UnicodeScalarView, of span: [Int]) -> [Int]? {
        guard let step = pythonInteger(text.prefix(while: isWordCharacter)), step > 0 else { return nil }
        return stride(from: 0, to: span.count, by: step).map { span[$0] }
    }

    /// A number, or the name of a month or weekday by its first three letters.
    private func number(_ text: Substring.UnicodeScalarView) -> Int? {
        guard text.first != "-" else { return nil }
        let number = pythonInteger(text) ?? Self.names[String(text.prefix(3)).lowercased()]
        return number.flatMap { range.contains($0) ? $0 : nil }
    }

    private static let names: [String: Int] = [
        "jan": 1, "feb": 2, "mar": 3, "apr": 4, "may": 5, "jun": 6,
        "jul": 7, "aug": 8, "sep": 9, "oct": 10, "nov": 11, "dec": 12,
        "sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6,
    ]
}

/// What Python's `\w` matches: letters, all kinds of numbers, and the underscore.
private func isWordCharacter(_ scalar: Unicode.Scalar) -> Bool {
    if scalar.isASCII {
        return scalar == "_" || (48...57).contains(scalar.value) || (97...122).contains(scalar.value | 0x20)
    }
    switch scalar.properties.generalCategory {
    case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter, .decimalNumber:
        return true
    default: return scalar.properties.numericType != nil
    }
}

/// What Python's `int()` makes of a text, at most `Int32.max`; nil where it raises ValueError.
/// Source: CPython's Objects/longobject.c, `PyLong_FromUnicodeObject` and `PyLong_FromString`.
private func pythonInteger(_ text: Substring.UnicodeScalarView) -> Int? {
    /// More than this many digits are an error (`sys.set_int_max_str_digits`).
    let maximumDigits = 4300
    func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        // ASCII's separators 28 to 31 are white space to Python, but not to `int()`.
        scalar == " " || (9...13).contains(scalar.value) || (!scalar.isASCII && scalar.properties.isWhitespace)
    }
    var rest = text.drop(while: isSpace)
    while let last = rest.last, isSpace(last) { rest.removeLast() }
    let isNegative = rest.first == "-"
    if isNegative || rest.first == "+" { rest.removeFirst() }
    var number = 0
    var digits = 0
    var isAfterDigit = false
    for scalar in rest {
        if scalar == "_", isAfterDigit {
            isAfterDigit = false
            continue
        }
        guard scalar.properties.numericType == .decimal, let digit = scalar.properties.numericValue else { return nil }
        digits += 1
        number = min(number * 10 + Int(digit), Int(Int32.max))
        isAfterDigit = true
    }
    guard isAfterDigit, digits <= maximumDigits else { return nil }
    return isNegative ? -number : number
}
