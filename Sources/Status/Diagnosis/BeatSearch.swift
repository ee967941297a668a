internal import Collection
internal import System

/// Where a beat that was not found was looked for, and what is there instead.
package struct BeatSearch: Equatable, Sendable {
    /// A beat somewhere else than where it is looked for. It may be another application's.
    package struct Place: Equatable, Sendable {
        /// What it is and where, as `RedBeat with the prefix shop: in database 3`.
        package var text: String
        /// The setting with which it is looked for there.
        package var setting: String

        package init(_ text: String, setting: String) {
            self.text = text.cut()
            self.setting = setting.cut()
        }
    }

    /// What was looked for and where; a line each.
    package var lookedFor: [String] = []
    package var places: [Place] = []
    /// What could not be looked through, and why; a line each.
    package var gaps: [String] = []

    package init() {}

    /// Of each kind so many lines are told: they quote foreign data.
    package static let maximumLines = 5
}
