package main

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	networkingv1 "k8s.io/api/networking/v1"
)

// annotationPrefix is ingress-nginx's, so that an Ingress means the same to both.
const annotationPrefix = "nginx.ingress.kubernetes.io/"

const maxLimitRPS = 100_000

// settings is what an Ingress's annotations say about its paths.
type settings struct {
	sslRedirect      bool
	forceSSLRedirect bool
	// maxBody is a size in nginx's terms; "0" is no limit.
	maxBody string
	limit   limit
}

var sizePattern = regexp.MustCompile(`^[0-9]{1,9}[kKmMgG]?$`)

// parseSettings reads the annotations. A value that is not legal leaves the default and becomes a problem.
func parseSettings(ingress *networkingv1.Ingress, problem func(reason, format string, args ...any)) settings {
	parsed := settings{sslRedirect: true, maxBody: "1m"}
	// A namespace has no underscore, so that the name is of this Ingress alone.
	parsed.limit.Name = ingress.Namespace + "_" + ingress.Name
	flag := func(to *bool) func(string) string {
		return func(value string) string {
			if value != "true" && value != "false" {
				return "must be true or false"
			}
			*to = value == "true"
			return ""
		}
	}
	// Each takes a value, or says what it must be.
	known := map[string]func(string) string{
		"ssl-redirect":       flag(&parsed.sslRedirect),
		"force-ssl-redirect": flag(&parsed.forceSSLRedirect),
		"proxy-body-size": func(value string) string {
			if !sizePattern.MatchString(value) {
				return "must be a size like 512k, 8m or 1g, or 0 for no limit"
			}
			parsed.maxBody = strings.ToLower(value)
			return ""
		},
		"limit-rps": func(value string) string {
			rate, err := strconv.Atoi(value)
			if err != nil || rate < 0 || rate > maxLimitRPS {
				return "must be a number of requests per second up to " + strconv.Itoa(maxLimitRPS) + ", or 0 for no limit"
			}
			parsed.limit.Rate = rate
			return ""
		},
	}
	for _, key := range slices.Sorted(maps.Keys(ingress.Annotations)) {
		name, ours := strings.CutPrefix(key, annotationPrefix)
		if !ours {
			continue
		}
		value := ingress.Annotations[key]
		take, supported := known[name]
		if !supported {
			problem("UnknownAnnotation", "annotation %s is ignored: not supported (%s are)", key,
				strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		} else if mistake := take(value); mistake != "" {
			problem("InvalidAnnotation", "annotation %s: %q is ignored: it %s", key, value, mistake)
		}
	}
	return parsed
}
