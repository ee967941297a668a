package import Configuration
internal import Glibc
package import HTTP
package import Logging
internal import System

/// Has servers follow a web configuration: it and the files it names are looked at every second, on a thread of its own, and
/// read again when they have changed and then stayed as they are for a second, so that nothing half-written counts.
///
/// What cannot be read, or would switch TLS or passwords on or off, is told once; the servers keep what they have.
package final class WebConfigurationWatch: Sendable {
    private let path: String
    private let security: CurrentWebSecurity
    private let logger: Logger

    package init(path: String, security: CurrentWebSecurity, logger: Logger) {
        self.path = path
        self.security = security
        self.logger = logger
    }

    /// Watches until the program ends.
    /// - Parameter file: what `security` was made of.
    package func start(from file: WebConfigurationFile) {
        guard WorkThread.detach({ [self] in run(from: file) }) else {
            logger.warning("web configuration is not watched", metadata: ["error": "\(ThreadShortage().description)"])
            return
        }
    }

    private func run(from file: WebConfigurationFile) {
        let hasTLS = file.security.tls != nil
        let hasUsers = !file.security.users.isEmpty
        var known = file.files
        var last = known
        var problem: String?
        while true {
            sleep(1)
            let now = known.keys.reduce(into: [:]) { $0[$1] = SmallFile.Stamp(of: $1) }
            defer { last = now }
            // While something is wrong it may also be a file that is not known yet.
            guard now == last, now != known || problem != nil else { continue }
            do throws(ConfigurationError) {
                let file = try WebConfigurationFile(path: path)
                try refuse("TLS", was: hasTLS, becomes: file.security.tls != nil)
                try refuse("passwords", was: hasUsers, becomes: !file.security.users.isEmpty)
                security.replace(with: file.security)
                known = file.files
                problem = nil
                logger.info("web configuration read again", metadata: ["file": "\(path)"])
            } catch {
                guard error.description != problem else { continue }
                problem = error.description
                logger.warning("web configuration stays as it was", metadata: ["error": "\(error)"])
            }
        }
    }

    /// A file that was emptied by mistake must not open the exporter to all.
    private func refuse(_ what: String, was: Bool, becomes: Bool) throws(ConfigurationError) {
        guard was != becomes else { return }
        throw ConfigurationError("\(path): \(what) would be switched \(becomes ? "on" : "off"); restart to do that")
    }
}
