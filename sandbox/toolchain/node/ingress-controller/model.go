package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
)

// controllerName is what an IngressClass names in spec.controller to be served from here.
const controllerName = "sandbox/nginx"

const legacyClassAnnotation = "kubernetes.io/ingress.class"

// objects is all that the configuration is worked out from.
type objects struct {
	ingresses []*networkingv1.Ingress
	classes   []*networkingv1.IngressClass
	services  []*corev1.Service
	slices    []*discoveryv1.EndpointSlice
	// secrets are those of type kubernetes.io/tls.
	secrets []*corev1.Secret
}

// model is what nginx is to do, with nothing left to decide and everything in a fixed order. Fields are exported for the
// template.
type model struct {
	// Hosts begins with the default server, whose name is empty.
	Hosts     []host
	Upstreams []upstream
	Limits    []limit
}

// host is one virtual server.
type host struct {
	// Name is a host name, "*." and a host name, or "" for whatever no other host matches.
	Name string
	// Certificate is nil for the default one.
	Certificate *certificate
	Locations   []location
}

// location is what happens to the requests for one path, or for all that begin with it.
type location struct {
	Exact bool
	// Path ends with a slash unless exact.
	Path string
	// Upstream takes the requests; if empty, Status answers them.
	Upstream string
	Status   int
	// Redirect sends plain HTTP to HTTPS.
	Redirect bool
	// MaxBody is the largest request body in nginx's terms.
	MaxBody string
	// Limit is shared by all locations of an Ingress. A rate of 0 is none.
	Limit limit
}

// upstream is one port of a Service.
type upstream struct {
	Name      string
	Addresses []netip.AddrPort
}

// limit is a request rate, in requests per second and client address.
type limit struct {
	Name string
	Rate int
}

// problem is something in an Ingress that can't be served as it is written.
type problem struct {
	ingress *networkingv1.Ingress
	reason  string
	message string
}

// serves tells whether an Ingress is of the class: by name, or by none if the class is the default one.
func serves(class string, classes []*networkingv1.IngressClass, ingress *networkingv1.Ingress) bool {
	at := slices.IndexFunc(classes, func(each *networkingv1.IngressClass) bool {
		return each.Name == class && each.Spec.Controller == controllerName
	})
	if at < 0 {
		return false
	}
	if name := ingress.Spec.IngressClassName; name != nil {
		return *name == class
	}
	if name, given := ingress.Annotations[legacyClassAnnotation]; given {
		return name == class
	}
	return classes[at].Annotations[networkingv1.AnnotationIsDefaultIngressClass] == "true"
}

// build works out the model. Whatever an Ingress asks for that can't be had becomes a problem, and the rest of it and
// all others are served nevertheless.
func build(from objects, class string) (model, []problem) {
	b := builder{
		hosts:     map[string]map[match]route{"": {}},
		secured:   map[string]*certificate{},
		upstreams: map[string]upstream{},
		services:  map[string]*corev1.Service{},
		slices:    map[string][]*discoveryv1.EndpointSlice{},
		secrets:   map[string]*corev1.Secret{},
	}
	for _, each := range from.services {
		b.services[each.Namespace+"/"+each.Name] = each
	}
	for _, each := range from.slices {
		service := each.Namespace + "/" + each.Labels[discoveryv1.LabelServiceName]
		b.slices[service] = append(b.slices[service], each)
	}
	for _, each := range from.secrets {
		b.secrets[each.Namespace+"/"+each.Name] = each
	}

	served := slices.DeleteFunc(slices.Clone(from.ingresses), func(each *networkingv1.Ingress) bool {
		return !serves(class, from.classes, each)
	})
	// The oldest Ingress wins what several claim.
	slices.SortFunc(served, func(x, y *networkingv1.Ingress) int {
		return cmp.Or(
			x.CreationTimestamp.Compare(y.CreationTimestamp.Time),
			cmp.Compare(x.Namespace, y.Namespace),
			cmp.Compare(x.Name, y.Name),
		)
	})
	parsed := make([]settings, len(served))
	for i, ingress := range served {
		b.ingress = ingress
		parsed[i] = parseSettings(ingress, b.problem)
		b.addRules(parsed[i])
		b.addTLS()
	}
	// A default backend takes what no rule matches, whoever's rule it is.
	for i, ingress := range served {
		b.ingress = ingress
		b.addDefaultBackend(parsed[i])
	}
	return b.finish(), b.problems
}

// match is a path as an Ingress gives it; one that is not exact has no slash at its end, and the root is "".
type match struct {
	exact bool
	path  string
}

// route is where a match leads.
type route struct {
	upstream string
	settings settings
}

type builder struct {
	ingress   *networkingv1.Ingress
	hosts     map[string]map[match]route
	secured   map[string]*certificate
	upstreams map[string]upstream
	services  map[string]*corev1.Service
	slices    map[string][]*discoveryv1.EndpointSlice
	secrets   map[string]*corev1.Secret
	problems  []problem
}

func (b *builder) problem(reason, format string, args ...any) {
	b.problems = append(b.problems, problem{b.ingress, reason, fmt.Sprintf(format, args...)})
}

var (
	hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)
	// What nginx compares with is decoded, so that an escape in a path would never match. Characters with a meaning in
	// nginx's configuration are left out.
	pathPattern = regexp.MustCompile(`^/[A-Za-z0-9/._~@:!+,=&()*-]*$`)
)

func (b *builder) addRules(with settings) {
	for _, rule := range b.ingress.Spec.Rules {
		if rule.Host != "" && (len(rule.Host) > 253 || !hostPattern.MatchString(rule.Host)) {
			b.problem("InvalidHost", "rule for host %q is ignored: not a DNS name, or `*.` and a DNS name", rule.Host)
			continue
		}
		if b.hosts[rule.Host] == nil {
			b.hosts[rule.Host] = map[match]route{}
		}
		if rule.HTTP == nil {
			continue
		}
		for _, path := range rule.HTTP.Paths {
			given := cmp.Or(path.Path, "/")
			if !pathPattern.MatchString(given) {
				b.problem("InvalidPath", "path %q is ignored: it must begin with / and hold only letters, digits and"+
					" /._~@:!+,=&()*-", given)
				continue
			}
			at := match{exact: true, path: given}
			// ImplementationSpecific is served as Prefix.
			if path.PathType == nil || *path.PathType != networkingv1.PathTypeExact {
				at = match{path: strings.TrimRight(given, "/")}
			}
			b.addRoute(rule.Host, at, path.Backend, with)
		}
	}
}

// addDefaultBackend catches what is left of the Ingress's own hosts, or everything if it has no rules.
func (b *builder) addDefaultBackend(with settings) {
	if b.ingress.Spec.DefaultBackend == nil {
		return
	}
	names := b.hostNames()
	if len(b.ingress.Spec.Rules) == 0 {
		names = []string{""}
	}
	for _, name := range names {
		b.addRoute(name, match{}, *b.ingress.Spec.DefaultBackend, with)
	}
}

// addRoute makes a host lead to a backend at a path, unless an older Ingress or an earlier rule took it.
func (b *builder) addRoute(host string, at match, backend networkingv1.IngressBackend, with settings) {
	if _, taken := b.hosts[host][at]; !taken {
		b.hosts[host][at] = route{b.upstreamOf(backend), with}
	}
}

// hostNames gives the valid hosts of the Ingress's rules.
func (b *builder) hostNames() []string {
	var names []string
	for _, rule := range b.ingress.Spec.Rules {
		if _, valid := b.hosts[rule.Host]; valid {
			names = append(names, rule.Host)
		}
	}
	return names
}

// upstreamOf finds what takes a backend's requests: the name of an upstream, or "" if there is none.
func (b *builder) upstreamOf(backend networkingv1.IngressBackend) string {
	if backend.Service == nil {
		b.problem("InvalidBackend", "its requests are answered with 503: a backend must be a Service")
		return ""
	}
	key := b.ingress.Namespace + "/" + backend.Service.Name
	service := b.services[key]
	if service == nil {
		b.problem("InvalidBackend", "its requests are answered with 503: there is no Service %s", key)
		return ""
	}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		b.problem("InvalidBackend", "its requests are answered with 503: Service %s is of type ExternalName, which is not"+
			" supported", key)
		return ""
	}
	wanted := backend.Service.Port
	at := slices.IndexFunc(service.Spec.Ports, func(port corev1.ServicePort) bool {
		return wanted.Name != "" && port.Name == wanted.Name || wanted.Name == "" && port.Port == wanted.Number
	})
	if at < 0 {
		b.problem("InvalidBackend", "its requests are answered with 503: Service %s has no port %s", key,
			cmp.Or(wanted.Name, fmt.Sprint(wanted.Number)))
		return ""
	}
	port := service.Spec.Ports[at]
	// A DNS label has no underscore, so that the name is of this port alone.
	name := fmt.Sprintf("%s_%s_%d", service.Namespace, service.Name, port.Port)
	if _, known := b.upstreams[name]; !known {
		b.upstreams[name] = upstream{name, addressesOf(port.Name, b.slices[key])}
	}
	if len(b.upstreams[name].Addresses) == 0 {
		return ""
	}
	return name
}

// addressesOf gives the addresses behind a Service's port: those that are ready. Where none is, those that are on their
// way out and still serve, which is what kube-proxy does too: the last pod answers while it waits before it stops.
func addressesOf(port string, from []*discoveryv1.EndpointSlice) []netip.AddrPort {
	ready, leaving := map[netip.AddrPort]bool{}, map[netip.AddrPort]bool{}
	for _, slice := range from {
		for _, each := range slice.Ports {
			if deref(each.Name, "") != port || each.Port == nil || deref(each.Protocol, "TCP") != corev1.ProtocolTCP {
				continue
			}
			for _, endpoint := range slice.Endpoints {
				if len(endpoint.Addresses) == 0 {
					continue
				}
				// A slice of type FQDN has names here, and is passed over.
				ip, err := netip.ParseAddr(endpoint.Addresses[0])
				if err != nil {
					continue
				}
				address := netip.AddrPortFrom(ip, uint16(*each.Port))
				conditions := endpoint.Conditions
				switch {
				case deref(conditions.Ready, true):
					ready[address] = true
				case deref(conditions.Serving, false) && deref(conditions.Terminating, false):
					leaving[address] = true
				}
			}
		}
	}
	if len(ready) == 0 {
		ready = leaving
	}
	return slices.SortedFunc(maps.Keys(ready), netip.AddrPort.Compare)
}

// addTLS notes which hosts are to have TLS, and with which certificate. A Secret that is not there or not usable leaves
// its hosts without: a redirect to a certificate that nobody trusts would help nobody.
func (b *builder) addTLS() {
	for _, entry := range b.ingress.Spec.TLS {
		names := entry.Hosts
		if len(names) == 0 {
			names = b.hostNames()
		}
		var found *certificate
		if entry.SecretName != "" {
			key := b.ingress.Namespace + "/" + entry.SecretName
			secret := b.secrets[key]
			if secret == nil {
				b.problem("InvalidTLS", "no TLS for %q: there is no Secret %s of type kubernetes.io/tls", names, key)
				continue
			}
			var err error
			if found, err = parseCertificate(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey]); err != nil {
				b.problem("InvalidTLS", "no TLS for %q: Secret %s: %v", names, key, err)
				continue
			}
		}
		for _, name := range names {
			if _, taken := b.secured[name]; !taken {
				b.secured[name] = found
			}
		}
	}
}

// finish puts everything in order, and what Kubernetes means by a path into nginx's terms.
func (b *builder) finish() model {
	var done model
	limits := map[limit]bool{}
	for _, name := range slices.Sorted(maps.Keys(b.hosts)) {
		found, secured := b.secured[name]
		if _, parent, ok := strings.Cut(name, "."); ok && !secured {
			found, secured = b.secured["*."+parent]
		}
		server := host{Name: name, Certificate: found}
		for at, to := range nginxPaths(b.hosts[name]) {
			place := location{Exact: at.exact, Path: at.path, Upstream: to.upstream}
			switch {
			case to == nowhere:
				place.Status = 404
			case to.upstream == "":
				place.Status = 503
			default:
				place.MaxBody, place.Limit = to.settings.maxBody, to.settings.limit
			}
			place.Redirect = to.settings.forceSSLRedirect || secured && to.settings.sslRedirect
			if place.Limit.Rate > 0 {
				limits[place.Limit] = true
			}
			server.Locations = append(server.Locations, place)
		}
		slices.SortFunc(server.Locations, func(x, y location) int {
			return cmp.Or(cmp.Compare(x.Path, y.Path), cmp.Compare(fmt.Sprint(y.Exact), fmt.Sprint(x.Exact)))
		})
		done.Hosts = append(done.Hosts, server)
	}
	for _, name := range slices.Sorted(maps.Keys(b.upstreams)) {
		if len(b.upstreams[name].Addresses) > 0 {
			done.Upstreams = append(done.Upstreams, b.upstreams[name])
		}
	}
	done.Limits = slices.SortedFunc(maps.Keys(limits), func(x, y limit) int { return cmp.Compare(x.Name, y.Name) })
	return done
}

// nowhere is where a path leads that no Ingress has.
var nowhere = route{}

// nginxPaths gives the routes of one host by nginx's locations. A prefix means whole path elements: /a is /a itself and
// all below /a/, but not /ab, which takes two locations.
func nginxPaths(routes map[match]route) map[match]route {
	paths := map[match]route{}
	for at, to := range routes {
		if at.exact {
			paths[at] = to
		} else {
			paths[match{path: at.path + "/"}] = to
		}
	}
	for at, to := range routes {
		self := match{exact: true, path: at.path}
		if _, taken := routes[self]; !at.exact && at.path != "" && !taken {
			paths[self] = to
		}
	}
	if _, taken := paths[match{path: "/"}]; !taken {
		paths[match{path: "/"}] = nowhere
	}
	// nginx redirects /a to a proxied location = /a/ unless /a has a location of its own.
	for at := range routes {
		self := match{exact: true, path: strings.TrimSuffix(at.path, "/")}
		if _, taken := paths[self]; at.exact && strings.HasSuffix(at.path, "/") && self.path != "" && !taken {
			paths[self] = longestPrefix(paths, self.path)
		}
	}
	return paths
}

// longestPrefix is where a path leads that has no location of its own.
func longestPrefix(paths map[match]route, path string) route {
	longest := match{path: "/"}
	for at := range paths {
		if !at.exact && strings.HasPrefix(path, at.path) && len(at.path) > len(longest.path) {
			longest = at
		}
	}
	return paths[longest]
}

func deref[T any](value *T, absent T) T {
	if value == nil {
		return absent
	}
	return *value
}
