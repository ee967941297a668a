/// The paths under which something is served, but for that of the metrics, which people choose: none of these.
package enum ServedPath: String, CaseIterable {
    case probe = "/probe"
    case page = "/"
    case status = "/api/v1/status"
    case healthy = "/-/healthy"
    case ready = "/-/ready"
    case reload = "/-/reload"
}
