internal import Status

extension Finding {
    /// Where no beat was found, and none has to be there.
    init(missing search: BeatSearch) {
        let settings = [
            "name a scheduler that must be there: --beat.scheduler",
            "for another scheduler give a schedule to expect, or --beat.ping",
        ]
        self.init(.warning, "beat", "no beat was found", Self.details(search) + settings, cause: .beat)
    }

    func isOfMissing(_ scheduler: String) -> Bool { cause == .missingBeat && subject == scheduler }

    /// With where else a beat is that is not where it has to be.
    func adding(_ search: BeatSearch) -> Finding {
        let rest = search.places.isEmpty ? ["start beat, or correct the settings that say where it is"] : []
        return Finding(level, subject, text, details + Self.details(search) + rest, cause: cause)
    }

    private static func details(_ search: BeatSearch) -> [String] {
        let maximum = BeatSearch.maximumLines
        let places = search.places.prefix(maximum).flatMap {
            ["there is \($0.text); if it is yours", "\(setting)\($0.setting)"]
        }
        return places + search.lookedFor.map { "looked for \($0)" }
            + (search.places.isEmpty && search.gaps.isEmpty ? ["and found none elsewhere"] : [])
            + search.gaps.prefix(maximum).map { "could not be looked through: \($0)" }
    }
}
