import Testing

@testable import HTTP

@Suite struct HTTPRequestTests {
    @Test(arguments: [
        ("/metrics", "/metrics"), ("http://h/metrics", "/metrics"), ("HTTPS://h:1/a/b", "/a/b"), ("http://h", "/"),
        ("http:///metrics", "/metrics"), ("ftp://h/metrics", "ftp://h/metrics"), ("*", "*"), ("", ""),
        ("/http://h/metrics", "/http://h/metrics"),
    ])
    func pathsOfTargets(target: String, path: String) {
        #expect(HTTPRequest.path(of: target) == path)
    }
}
